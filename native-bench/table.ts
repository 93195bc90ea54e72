/** The results as text for a terminal. */
import type { Line, WorkloadReport } from './results.ts';
import type { Unit } from './workloads.ts';

/** What the cost of a workload is counted in. */
export const unitNames: Readonly<Record<Unit, string>> = {
  request: 'us/request',
  message: 'us/message',
  gigabyte: 'ms/GB',
  connection: 'kB/connection',
};

/** One workload: a heading, a line of columns, a line for each peer and setup, and what was invalid. */
export function formatTable(report: WorkloadReport): string {
  const several = new Set(report.lines.map((line) => line.setup.label)).size > 1;
  const added = report.lines.some((line) => Number.isFinite(line.added));
  const throughput = report.unit === 'gigabyte';
  const idle = report.unit === 'connection';
  const handshakes = report.lines.some((line) => Number.isFinite(line.resumed));
  const columns: [string, (line: Line) => string][] = [
    ['', (line) => line.peer],
    ...(several ? [['', (line) => line.setup.label] as [string, (line: Line) => string]] : []),
    [unitNames[report.unit], (line) => formatNumber(line.cost)],
    ['+-', (line) => formatShare(line.spread)],
    ['/nginx', (line) => formatRatio(line.ratioToNginx)],
    ...(several
      ? [['/own first', (line) => formatRatio(line.ratioToFirstSetup)] as [string, (line: Line) => string]]
      : []),
    ...(added
      ? ([
          ['added', (line) => formatNumber(line.added)],
          ['added/nginx', (line) => formatRatio(line.addedRatioToNginx)],
        ] as [string, (line: Line) => string][])
      : []),
    ...(idle
      ? []
      : ([
          throughput
            ? ['MB/s', (line) => formatNumber(line.bytesPerSecond / 1e6)]
            : [`${report.unit}s/s`, (line) => formatNumber(line.requestsPerSecond)],
          ['busy', (line) => formatShare(line.busy)],
          ['p50 ms', (line) => formatNumber(line.p50 / 1000)],
          ['p99 ms', (line) => formatNumber(line.p99 / 1000)],
        ] as [string, (line: Line) => string][])),
    ...(handshakes
      ? [['resumed', (line) => formatShare(line.resumed)] as [string, (line: Line) => string]]
      : []),
    ['MB', (line) => formatNumber(line.memory / 1024)],
  ];
  const rows = [
    columns.map(([name]) => name),
    ...report.lines.map((line) => columns.map(([, cell]) => cell(line))),
  ];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const labels = several ? 2 : 1;
  const text = rows.map((row) =>
    `  ${row
      .map((cell, column) => (column < labels ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')}`.trimEnd(),
  );
  const trouble = report.lines
    .filter((line) => line.invalid > 0)
    .map(
      (line) =>
        `  INVALID: ${nameOf(line)}: ${line.invalid} of ${line.rounds} turns (${line.trouble.slice(0, 3).join('; ')})`,
    );
  return [`${report.title} (${report.name})`, ...text, ...trouble, ''].join('\n');
}

/** The peer, with its setup where that has a name. */
export function nameOf(line: Line): string {
  return line.setup.label === '' ? line.peer : `${line.peer}, ${line.setup.label}`;
}

/** Three figures that count; nothing for what is not known. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '';
  if (Math.abs(value) >= 100) return String(Math.round(value));
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** Two decimals; nothing for what is not known. */
export function formatRatio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : '';
}

/** A share in per cent; nothing for what is not known. */
function formatShare(value: number): string {
  return Number.isFinite(value) ? `${Math.round(value * 100)}%` : '';
}
