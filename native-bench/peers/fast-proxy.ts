/** fast-proxy on its undici pool, the faster of the two clients it offers. */
import { createServer } from 'node:http';
import fastProxy from 'fast-proxy';
import { forwardedHeaders, POOL_SIZE, readPorts } from './forwarded.ts';

const { port, backendPort } = readPorts();
const { proxy } = fastProxy({
  base: `http://127.0.0.1:${backendPort}`,
  undici: { connections: POOL_SIZE, pipelining: 1 },
});

const server = createServer((request, response) => {
  proxy(request, response, request.url ?? '/', {
    rewriteRequestHeaders: (_request, headers) => {
      delete headers.connection; // hop-by-hop
      return Object.assign(headers, forwardedHeaders(request));
    },
    rewriteHeaders: (headers) => {
      delete headers.connection; // as well
      return headers;
    },
  });
});
server.keepAliveTimeout = 600_000;
server.listen(port, '127.0.0.1', 4096);
