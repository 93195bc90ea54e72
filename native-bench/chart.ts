/** The results as a picture: a bar for each peer, nginx being 1. */
import type { Line, Report, WorkloadReport } from './results.ts';
import { formatNumber, formatRatio, nameOf, unitNames } from './table.ts';

const WIDTH = 860;
const LABEL_WIDTH = 230;
const NUMBER_WIDTH = 190;
const BAR_HEIGHT = 16;
const BAR_GAP = 5;
const GROUP_GAP = 26;
const TITLE_HEIGHT = 24;
const HEAD_HEIGHT = 78;
const FOOT_HEIGHT = 34;

/** A bar longer than this many times nginx is cut, with its figure beside it. */
const LONGEST = 8;

/** Readable to people who do not see red and green apart: the two that matter differ in lightness too. */
const colours: Readonly<Record<string, string>> = { portico: '#2458d3', nginx: '#5f6b7a' };
const otherColour = '#b8c1cc';

/** Draws a report as an SVG document of its own, that needs no font and no style sheet. */
export function drawChart(report: Report): string {
  const groups: string[] = [];
  let top = HEAD_HEIGHT;
  for (const workload of report.workloads) {
    const lines = workload.lines.filter((line) => Number.isFinite(line.cost));
    if (lines.length === 0) continue;
    groups.push(drawGroup(workload, lines, top));
    top += TITLE_HEIGHT + lines.length * (BAR_HEIGHT + BAR_GAP) + GROUP_GAP;
  }
  const height = top + FOOT_HEIGHT;
  const { machine, versions, method } = report;
  const names = Object.entries(versions)
    .filter(([name]) => name !== 'wrk')
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>What the same work costs with Portico and with other proxies</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="20" y="32" font-size="19" font-weight="600" fill="#111827">What the same work costs, nginx = 1</text>`,
    `<text x="20" y="54" fill="#4b5563">Processor time (memory for idle connections), median of the ratios within ${method.rounds} rounds. Shorter is better; bars end at ${LONGEST}.</text>`,
    ...groups,
    `<text x="20" y="${height - 24}" font-size="11" fill="#6b7280">${escapeText(`${machine.processor}, Linux ${machine.kernel}, ${report.date.slice(0, 10)}`)}</text>`,
    `<text x="20" y="${height - 9}" font-size="11" fill="#6b7280">${escapeText(names)}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

/** One workload. Without nginx among its lines, the first line is what the bars are drawn against. */
function drawGroup(workload: WorkloadReport, lines: readonly Line[], top: number): string {
  const relative = lines.map((line) =>
    Number.isFinite(line.ratioToNginx) ? line.ratioToNginx : line.cost / lines[0].cost,
  );
  const room = WIDTH - LABEL_WIDTH - NUMBER_WIDTH - 20;
  const longest = Math.min(LONGEST, Math.max(1.25, ...relative));
  const unit = room / longest;
  const parts = [
    `<text x="20" y="${top + 14}" font-weight="600" fill="#111827">${escapeText(workload.title)}</text>`,
  ];
  const first = top + TITLE_HEIGHT;
  lines.forEach((line, index) => {
    const y = first + index * (BAR_HEIGHT + BAR_GAP);
    const width = Math.max(1, Math.min(relative[index], longest) * unit);
    const figure = [formatRatio(line.ratioToNginx), `${formatNumber(line.cost)} ${unitNames[workload.unit]}`]
      .filter((text) => text !== '')
      .join('   ');
    parts.push(
      `<text x="${LABEL_WIDTH - 8}" y="${y + 12}" text-anchor="end" fill="#374151">${escapeText(nameOf(line))}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2" fill="${colours[line.peer] ?? otherColour}"/>`,
      `<text x="${(LABEL_WIDTH + width + 8).toFixed(1)}" y="${y + 12}" fill="#374151" xml:space="preserve">${escapeText(figure)}</text>`,
    );
  });
  const mark = (LABEL_WIDTH + unit).toFixed(1);
  const bottom = first + lines.length * (BAR_HEIGHT + BAR_GAP) - BAR_GAP;
  parts.push(
    `<line x1="${mark}" x2="${mark}" y1="${first - 3}" y2="${bottom + 3}" stroke="#111827" stroke-dasharray="2 3"/>`,
  );
  return parts.join('\n');
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
