/** http-proxy with an agent that keeps its connections. */
import { Agent, createServer, ServerResponse } from 'node:http';
import httpProxy from 'http-proxy';
import { forwardedHeaders, POOL_SIZE, readPorts } from './forwarded.ts';

const { port, backendPort } = readPorts();
const proxy = httpProxy.createProxyServer({
  target: { host: '127.0.0.1', port: backendPort },
  agent: new Agent({ keepAlive: true, maxSockets: POOL_SIZE, maxFreeSockets: POOL_SIZE }),
});
// Nor does it hold back the backend's: told to keep a connection that Node closes, the client would send on it.
proxy.on('proxyRes', (response) => {
  delete response.headers.connection;
});
proxy.on('error', (_error, _request, response) => {
  if (response instanceof ServerResponse && !response.headersSent) response.writeHead(502).end();
  else response.destroy();
});

const server = createServer((request, response) => {
  // It forwards the client's Connection header, and with `close` in it gives up the backend's connection.
  proxy.web(request, response, { headers: { ...forwardedHeaders(request), connection: 'keep-alive' } });
});
server.keepAliveTimeout = 600_000;
server.listen(port, '127.0.0.1', 4096);
