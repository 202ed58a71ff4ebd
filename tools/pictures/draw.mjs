// Draws pages as GitHub shows them: `node draw.mjs CHROMIUM < pages.json`, a list of {kind, title, text, path}.
// kind is "summary" (Markdown of a job summary) or "log" (what a step printed, with the runner's commands in it).
// Everything a page needs lies in node_modules: fonts too, so that a picture depends little on the machine.
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { marked } from "marked";
import UPNG from "upng-js";

const MODULES = fileURLToPath(new URL("node_modules/", import.meta.url));
const asset = (name) => pathToFileURL(join(MODULES, name)).href;
const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const WEIGHTS = [400, 600].map((weight) => `@fontsource/noto-sans/latin-${weight}.css`);
const FONTS = [...WEIGHTS, "@fontsource/noto-sans-mono/latin-400.css", "@fontsource/noto-sans-mono/latin-600.css",
  "@fontsource/noto-color-emoji/emoji.css"];
const SANS = "'Noto Sans', 'Noto Color Emoji', sans-serif";
const MONO = "'Noto Sans Mono', 'DejaVu Sans Mono', 'Noto Color Emoji', monospace";

const STYLE = `
  body { margin: 0; padding: 16px; background: #f6f8fa; }
  .card { background: #fff; border: 1px solid #d1d9e0; border-radius: 6px; }
  .card > header { padding: 12px 16px; border-bottom: 1px solid #d1d9e0; font: 600 14px ${SANS}; color: #59636e; }
  .card > header b { color: #1f2328; }
  .markdown-body { padding: 16px 24px 8px; font-family: ${SANS}; font-size: 14px; }
  .markdown-body code, .markdown-body pre, .markdown-body samp { font-family: ${MONO}; }
  .mermaid { background: #fff !important; padding: 0 !important; text-align: center; }
  .add { background: #dafbe1; color: #116329; display: block; } .del { background: #ffebe9; color: #82071e; display: block; }
  .log { background: #1f2328; color: #e6edf3; border-radius: 6px; padding: 12px 0; font: 12px/20px ${MONO}; }
  .log > header { padding: 0 16px 8px; font: 600 14px ${SANS}; }
  .log div { white-space: pre-wrap; overflow-wrap: anywhere; padding: 0 16px 0 56px; position: relative; }
  .log i { position: absolute; left: 0; top: 0; width: 40px; text-align: right; color: #7d8590; font-style: normal; }
  .log .error { background: #3c1618; } .log .error b { color: #ff7b72; font-weight: 600; }
  .log .group { font-weight: 600; } .log .within { padding-left: 72px; }
`;

// Fenced blocks with GitHub's colours, as far as a summary has them.
const renderer = {
  code({ text, lang }) {
    if (lang === "mermaid") return `<pre class="mermaid">${escaped(text)}</pre>`;
    const lines = escaped(text).split("\n");
    if (lang !== "diff") return `<pre><code>${lines.join("\n")}</code></pre>`;
    const kinds = { "+": "add", "-": "del" };
    return `<pre><code>${lines.map((line) => `<span class="${kinds[line[0]] ?? ""}">${line}</span>${line[0] in kinds ? "" : "\n"}`).join("")}</code></pre>`;
  },
};

function summary({ title, text }) {
  const body = marked.use({ renderer, gfm: true }).parse(text);
  return `<div class="card"><header><b>${escaped(title)}</b> summary</header><article class="markdown-body">${body}</article></div>`;
}

// The runner's commands as the log shows them: groups open, errors in red.
function log({ title, text }) {
  let inside = false;
  const rows = text.trimEnd().split("\n").flatMap((line) => {
    const [, name, data] = /^::(group|endgroup|error|warning|notice)[^:]*::(.*)$/.exec(line) ?? [];
    const plain = (data ?? "").replaceAll("%0D", "\r").replaceAll("%0A", "\n").replaceAll("%25", "%");
    if (name === "endgroup") return ((inside = false), []);
    if (name === "group") return ((inside = true), [`<div class="group">▾ ${escaped(plain)}`]);
    if (name) return [`<div class="${name}"><b>${name[0].toUpperCase()}${name.slice(1)}:</b> ${escaped(plain)}`];
    return [`<div class="${inside ? "within" : ""}">${escaped(line)}`];
  });
  return `<div class="log"><header>${escaped(title)}</header>${rows.map((row, at) => `${row}<i>${at + 1}</i></div>`).join("")}</div>`;
}

function whole(page) {
  const links = [...FONTS, "github-markdown-css/github-markdown-light.css"].map((name) => `<link rel="stylesheet" href="${asset(name)}">`);
  const body = { summary, log }[page.kind](page);
  return `<!doctype html><meta charset="utf-8">${links.join("")}<style>${STYLE}</style>${body}<script src="${asset("mermaid/dist/mermaid.min.js")}"></script>`;
}

// A picture of text needs few colours: a palette of 128 makes the file a third.
function small(png) {
  const image = UPNG.decode(png);
  return Buffer.from(UPNG.encode(UPNG.toRGBA8(image), image.width, image.height, 128));
}

const folder = mkdtempSync(join(fileURLToPath(new URL(".", import.meta.url)), ".drawing-"));
const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: ["--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--font-render-hinting=none", "--disable-lcd-text"],
});
try {
  const context = await browser.newContext({ viewport: { width: 1012, height: 600 }, colorScheme: "light", timezoneId: "UTC" });
  for (const page of JSON.parse(readFileSync(0, "utf8"))) {
    const file = join(folder, "page.html");
    writeFileSync(file, whole(page));
    const tab = await context.newPage();
    await tab.goto(pathToFileURL(file).href);
    await tab.evaluate(async (fontFamily) => {
      window.mermaid.initialize({ startOnLoad: false, fontFamily });
      await window.mermaid.run();
      await document.fonts.ready;
    }, SANS);
    writeFileSync(page.path, small(await tab.screenshot({ fullPage: true })));
    await tab.close();
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
