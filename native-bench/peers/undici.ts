/** What one writes by hand: undici's `stream` behind node:http. */
import { createServer } from 'node:http';
import { type Dispatcher, Pool } from 'undici';
import { forwardedHeaders, POOL_SIZE, readPorts } from './forwarded.ts';

const { port, backendPort } = readPorts();
const pool = new Pool(`http://127.0.0.1:${backendPort}`, { connections: POOL_SIZE, pipelining: 1 });

/** RFC 9110, section 7.6.1: these are between the backend and us. */
const hopByHop = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'proxy-connection', 'te'];

const server = createServer((request, response) => {
  const headers: Record<string, string | string[] | undefined> = {
    ...request.headers,
    ...forwardedHeaders(request),
  };
  for (const name of hopByHop) delete headers[name];
  const hasBody =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
  pool.stream(
    {
      path: request.url ?? '/',
      method: request.method as Dispatcher.HttpMethod,
      headers,
      body: hasBody ? request : null,
    },
    ({ statusCode, headers }) => {
      for (const name of hopByHop) delete headers[name];
      return response.writeHead(statusCode, headers);
    },
    (error) => {
      if (error === null) return;
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    },
  );
});
server.keepAliveTimeout = 600_000;
server.listen(port, '127.0.0.1', 4096);
