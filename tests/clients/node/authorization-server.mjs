// A small OAuth 2.1 authorization server (RFC 8414 metadata, RFC 7591 registration, PKCE, RFC 8707 resources) whose
// access tokens are JWTs (RFC 9068). Whoever asks is let in as `ada`. Its first line on stdout tells where it listens:
//   {"event":"listening","issuer":"http://127.0.0.1:PORT"}
// GET /seen answers what was asked of it: {"authorized": [{"resource", "scope"}], "tokens": [{"resource", "scope"}]}.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const kid = randomBytes(8).toString('hex');
const clients = new Map();
const codes = new Map();
const seen = { authorized: [], tokens: [] };
let issuer;

const base64 = (bytes) => Buffer.from(bytes).toString('base64url');

function accessToken(claims) {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: 'ES256', kid, typ: 'at+jwt' };
  const all = { iss: issuer, sub: 'ada', iat: now, exp: now + 300, jti: randomBytes(8).toString('hex'), ...claims };
  const signed = [header, all].map((part) => base64(JSON.stringify(part))).join('.');
  const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${base64(signature)}`;
}

const metadata = () => ({
  issuer,
  authorization_endpoint: `${issuer}/authorize`,
  token_endpoint: `${issuer}/token`,
  registration_endpoint: `${issuer}/register`,
  jwks_uri: `${issuer}/keys`,
  response_types_supported: ['code'],
  grant_types_supported: ['authorization_code', 'refresh_token'],
  code_challenge_methods_supported: ['S256'],
  token_endpoint_auth_methods_supported: ['none'],
  authorization_response_iss_parameter_supported: true,
});

const fail = (error) => ({ status: 400, body: { error } });

function register(body) {
  const client = { ...JSON.parse(body), client_id: randomBytes(8).toString('hex'), token_endpoint_auth_method: 'none' };
  clients.set(client.client_id, client);
  return { status: 201, body: client };
}

function authorize(query) {
  const asked = Object.fromEntries(query);
  const client = clients.get(asked.client_id);
  if (!client?.redirect_uris.includes(asked.redirect_uri)) return fail('invalid_client');
  if (asked.response_type !== 'code' || asked.code_challenge_method !== 'S256') return fail('invalid_request');
  seen.authorized.push({ resource: asked.resource, scope: asked.scope });
  const code = randomBytes(16).toString('hex');
  codes.set(code, asked);
  const back = new URL(asked.redirect_uri);
  for (const [name, value] of Object.entries({ code, state: asked.state, iss: issuer })) {
    if (value !== undefined) back.searchParams.set(name, value);
  }
  return { status: 302, headers: { location: back.href }, body: {} };
}

function token(body) {
  const asked = Object.fromEntries(new URLSearchParams(body));
  const authorized = codes.get(asked.code);
  codes.delete(asked.code);
  const challenge = createHash('sha256').update(asked.code_verifier ?? '').digest('base64url');
  if (!authorized || authorized.code_challenge !== challenge) return fail('invalid_grant');
  if (authorized.resource !== asked.resource || !asked.resource) return fail('invalid_target');
  seen.tokens.push({ resource: asked.resource, scope: authorized.scope });
  const claims = { aud: asked.resource, scope: authorized.scope, client_id: authorized.client_id };
  return { status: 200, body: { access_token: accessToken(claims), token_type: 'Bearer', expires_in: 300, scope: authorized.scope } };
}

function answer(method, url, body) {
  switch (`${method} ${url.pathname}`) {
    case 'GET /.well-known/oauth-authorization-server':
      return { status: 200, body: metadata() };
    case 'GET /keys':
      return { status: 200, body: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' }] } };
    case 'GET /seen':
      return { status: 200, body: seen };
    case 'GET /authorize':
      return authorize(url.searchParams);
    case 'POST /register':
      return register(body);
    case 'POST /token':
      return token(body);
    default:
      return { status: 404, body: { error: 'not_found' } };
  }
}

const server = createServer(async (req, res) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  const { status, headers, body } = answer(req.method, new URL(req.url, issuer), Buffer.concat(parts).toString('utf8'));
  res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', connection: 'close', ...headers });
  res.end(JSON.stringify(body));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
issuer = `http://127.0.0.1:${server.address().port}`;
process.stdout.write(`${JSON.stringify({ event: 'listening', issuer })}\n`);
