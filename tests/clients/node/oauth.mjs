// The user's side of OAuth for the node clients: what a browser would do, done by fetch. `spec.oauth` asks for it.
const CALLBACK = 'http://127.0.0.1:9/callback';

/** An `OAuthClientProvider` of either SDK that keeps everything in memory. */
export class Memory {
  redirectUrl = CALLBACK;
  clientMetadata = {
    client_name: 'toolgate-test',
    redirect_uris: [CALLBACK],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
  #kept = {};

  clientInformation = () => this.#kept.client;
  saveClientInformation = (client) => void (this.#kept.client = client);
  tokens = () => this.#kept.tokens;
  saveTokens = (tokens) => void (this.#kept.tokens = tokens);
  codeVerifier = () => this.#kept.verifier;
  saveCodeVerifier = (verifier) => void (this.#kept.verifier = verifier);

  async redirectToAuthorization(url) {
    const answer = await fetch(url, { redirect: 'manual' });
    this.callback = new URL(answer.headers.get('location')).searchParams;
  }
}

/** Connects; where the server wants a token first, gets one and connects again. `open` makes a transport. */
export async function connect(client, open, memory) {
  const transport = open();
  try {
    await client.connect(transport);
    return transport;
  } catch (error) {
    if (!memory?.callback) throw error;
    const { callback } = memory;
    await transport.finishAuth(memory.whole ? callback : callback.get('code'));
    const again = open();
    await client.connect(again);
    return again;
  }
}
