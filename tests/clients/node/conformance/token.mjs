// Preloaded into the conformance suite (`node --import`), which has no option for a header: adds the grant's token, from
// TOOLGATE_TOKEN, to every request that is sent, and changes nothing else. The suite speaks through fetch and undici,
// whose own channel tells of each request before it is written, and in one scenario through node:http.
import { subscribe } from 'node:diagnostics_channel';
import http from 'node:http';

const authorization = `Bearer ${process.env.TOOLGATE_TOKEN}`;

subscribe('undici:request:create', ({ request }) => request.addHeader('authorization', authorization));

const send = http.request;
http.request = (...args) => {
  const request = send(...args);
  request.setHeader('authorization', authorization);
  return request;
};
