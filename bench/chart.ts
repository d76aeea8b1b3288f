/** Bars as SVG, legible on light and dark pages, for a README. */

export type Bar = { label: string; value: number; text: string; own: boolean };

const width = 760;
const labelWidth = 250;
const valueWidth = 90;
const barHeight = 18;
const step = 26;

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Horizontal bars, the longest filling the width; ours in another colour than the peers'. */
export const barsSvg = (title: string, bars: readonly Bar[]): string => {
  const most = Math.max(...bars.map(({ value }) => value));
  const height = 34 + bars.length * step;
  const rows = bars.map(({ label, value, text, own }, at) => {
    const y = 34 + at * step;
    const length = Math.max(1, Math.round((value / most) * (width - labelWidth - valueWidth)));
    const middle = y + barHeight / 2 + 4;
    return [
      `<text x="${labelWidth - 8}" y="${middle}" text-anchor="end">${escaped(label)}</text>`,
      `<rect x="${labelWidth}" y="${y}" width="${length}" height="${barHeight}" rx="2" fill="${own ? "#2f7ed8" : "#9aa4b0"}"/>`,
      `<text x="${labelWidth + length + 6}" y="${middle}">${escaped(text)}</text>`,
    ].join("\n");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>text{font:13px system-ui,sans-serif;fill:#24292f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>
<text x="0" y="18" style="font-weight:600">${escaped(title)}</text>
${rows.join("\n")}
</svg>
`;
};
