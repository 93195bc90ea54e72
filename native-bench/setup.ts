/** How a proxy is set up for a workload: what the peers' configurations leave open. */
export interface Setup {
  /** Names it among the setups of one workload; empty for the only one. */
  readonly label: string;
  /** Workers: nginx's processes, Portico's and HAProxy's threads. */
  readonly workers: number;
  /** Connections of one worker, to clients and to upstream servers. */
  readonly connections: number;
  /** Whether each request is written to an access log, in the combined form. */
  readonly accessLog: boolean;
  readonly balance: 'round_robin' | 'least_conn';
  /** How many servers the upstream group has. */
  readonly servers: number;
  /** Requests outstanding on one upstream connection (Portico's keepalive_pipeline); 0 leaves it off. */
  readonly pipeline: number;
  /** Whether clients speak TLS, and may resume sessions by tickets; upstream servers never do. */
  readonly tls: boolean;
  /** Whether /websocket leads to the server that echoes messages. */
  readonly websocket: boolean;
}

/** What a workload starts from. */
export const plainSetup: Setup = {
  label: '',
  workers: 1,
  connections: 4096,
  accessLog: false,
  balance: 'round_robin',
  servers: 1,
  pipeline: 0,
  tls: false,
  websocket: false,
};
