"""The user's side of OAuth for the Python clients: what a browser would do, done by a GET. `spec["oauth"]` asks for it."""

from urllib.parse import parse_qs, urlsplit

CALLBACK = "http://127.0.0.1:9/callback"


class Memory:
    """A `TokenStorage` of either SDK."""

    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def provider(auth, shared, http, url, result):
    """`auth` and `shared` are modules of the SDK, `http` its HTTP library; `result` makes what a callback gives."""
    answered = {}

    async def redirect(url):
        async with http.AsyncClient() as browser:
            answer = await browser.get(url, follow_redirects=False)
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        answered.update({name: values[0] for name, values in query.items()})

    async def callback():
        return result(answered)

    metadata = shared.OAuthClientMetadata(
        client_name="toolgate-test", redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
    )
    return auth.OAuthClientProvider(url, metadata, Memory(), redirect, callback)
