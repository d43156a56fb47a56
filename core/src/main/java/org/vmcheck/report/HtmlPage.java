package org.vmcheck.report;

import java.util.Base64;
import org.vmcheck.io.Sha256;

/// The frame of an HTML file: it needs no other file and no network, reads without a script, and
/// follows the reader's choice of dark or light.
final class HtmlPage {
  private static final String STYLE =
      """
      :root { color-scheme: light dark;
        --ground: light-dark(#ffffff, #14171a); --ink: light-dark(#1b1f23, #e3e6e8);
        --faint: light-dark(#5c6670, #9aa4ad); --line: light-dark(#d5dade, #333a41);
        --panel: light-dark(#f4f6f7, #1d2226); --link: light-dark(#0b5cad, #7ab8f5);
        --intact: light-dark(#1a7f37, #3fb950); --kernel-damaged: light-dark(#c62828, #ff6b62);
        --dump-damaged: light-dark(#9a6700, #e0a93b); --undetermined: light-dark(#0b6e99, #58b7dd);
        --unreadable: light-dark(#6b4ea0, #b597ee); --mark: light-dark(#ffd9d6, #7a2a26); }
      * { box-sizing: border-box; }
      body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--ground);
        color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
      h1 { font-size: 1.35rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
      h3 { font-size: 1rem; margin: 0 0 .4rem; } a { color: var(--link); }
      code, pre, .mono { font: 13px/1.45 ui-monospace, monospace; }
      pre { background: var(--ground); border: 1px solid var(--line); padding: .6rem;
        overflow-x: auto; margin: .4rem 0; }
      mark { background: var(--mark); color: inherit; }
      table { border-collapse: collapse; width: 100%; }
      th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
        border-bottom: 1px solid var(--line); }
      th { color: var(--faint); font-weight: 600; } td.number { text-align: right; }
      .panel h2 { margin-top: 0; } h3[id] { margin-top: 1.1rem; }
      nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .8rem 0; }
      td.status { white-space: nowrap; border-left-width: 5px; border-left-style: solid;
        padding-left: .6rem; }
      .none { border-left-color: var(--line); } .none .word { color: var(--faint); font-weight: 400; } .earned { font-weight: 600; }
      .panel { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
        padding: .9rem 1.1rem; margin: .8rem 0; }
      .verdict { border-left: 6px solid var(--faint); } .word { font-weight: 700; }
      .intact { border-left-color: var(--intact); } .intact .word { color: var(--intact); }
      .kernel-damaged { border-left-color: var(--kernel-damaged); }
      .kernel-damaged .word { color: var(--kernel-damaged); }
      .dump-damaged { border-left-color: var(--dump-damaged); }
      .dump-damaged .word { color: var(--dump-damaged); }
      .undetermined { border-left-color: var(--undetermined); }
      .undetermined .word { color: var(--undetermined); }
      .unreadable { border-left-color: var(--unreadable); }
      .unreadable .word { color: var(--unreadable); }
      th, .id { white-space: nowrap; overflow-wrap: normal; }
      .faint { color: var(--faint); } ul { margin: .3rem 0; padding-left: 1.2rem; }
      svg { max-width: 100%; height: auto; } svg .axis { stroke: var(--faint); }
      svg text { fill: var(--ink); font: 12px ui-monospace, monospace; }
      svg.slab { display: block; margin: .5rem 0; max-width: 100%; height: auto; }
      svg .used { fill: var(--ground); stroke: var(--line); }
      svg .free { fill: light-dark(#d3ecd9, #1d4a2b); stroke: var(--intact); }
      svg .elsewhere { fill: light-dark(#d6e8f7, #17405a); stroke: var(--undetermined); }
      svg .broken { fill: var(--mark); stroke: var(--kernel-damaged); stroke-width: 2; }
      svg text.index { font-size: 10px; text-anchor: middle; }
      svg .way { stroke: var(--intact); stroke-width: 1.2; fill: none; opacity: .8; }
      svg .way-end { fill: var(--intact); } svg .astray-end { fill: var(--kernel-damaged); }
      svg .astray { stroke: var(--kernel-damaged); stroke-width: 2; fill: none; }
      .map { overflow-x: auto; } .map svg { display: block; }
      svg .fill-intact { fill: var(--intact); }
      svg .fill-kernel-damaged { fill: var(--kernel-damaged); }
      svg .fill-dump-damaged { fill: var(--dump-damaged); }
      svg .fill-undetermined { fill: var(--undetermined); }
      svg .fill-unreadable { fill: var(--unreadable); } svg .fill-cause { fill: var(--link); }
      svg .cause-1 { fill: light-dark(#0072b2, #56a5dd); } svg .cause-2 { fill: #e69f00; }
      svg .cause-3 { fill: #009e73; } svg .cause-4 { fill: #cc79a7; }
      svg .cause-5 { fill: #d55e00; } svg .cause-6 { fill: #56b4e9; }
      svg .cause-other { fill: var(--faint); }
      @media print { body { max-width: none; padding: 0; } .panel { break-inside: avoid; } }
      """;

  private HtmlPage() {}

  /// A page with its head written and its body open.
  static Markup open(String title) {
    return open(title, "", "");
  }

  /// A page that may run one script of this program's own.
  ///
  /// @param style what it needs beside the style of all pages
  /// @param script as [#close(Markup, String)] will write it; empty for none
  static Markup open(String title, String style, String script) {
    Markup page = new Markup();
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // No fetches and no other scripts, whatever the text of a dump tries.
    page.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src"
            + " 'unsafe-inline'"
            + (script.isEmpty() ? "" : "; script-src 'sha256-" + hash(script) + "'")
            + "\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n");
    page.element("title", title)
        .raw("\n<style>\n")
        .raw(STYLE)
        .raw(style)
        .raw("</style>\n</head>\n<body>\n");
    return page;
  }

  private static String hash(String script) {
    return Base64.getEncoder().encodeToString(Sha256.of(script));
  }

  static String close(Markup page, String script) {
    return close(page.raw("<script>").raw(script).raw("</script>\n"));
  }

  static String close(Markup page) {
    return page.raw("</body>\n</html>\n").toString();
  }

  static void row(Markup page, String name, String value) {
    page.open("tr").element("th", name, "scope", "row").element("td", value).close("tr").newline();
  }
}
