"use strict";
// Filter and order of a page of incidents. Without it the page shows every row, newest first. What is asked for stands
// behind the # of the address, so that an answer can be linked to.
(() => {
  const table = document.getElementById("incidents");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const STEP = 200;
  const COLUMNS = ["id", "verdict", "crashed", "host", "kernel", "cause"];
  const SELECTS = ["verdict", "kernel", "cause"];
  const KEYS = [...SELECTS, "host", "panic", "damage", "since", "until", "text", "sort"];
  const natural = new Intl.Collator("en", { numeric: true });
  let limit = STEP;

  const cell = (row, column) => row.cells[COLUMNS.indexOf(column)].textContent;
  const value = (row, key) =>
    key === "panic" ? row.dataset.p || "" : key === "damage" ? row.dataset.d || "" : cell(row, key);
  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const texts = [];
  const text = (index) => (texts[index] ??= rows[index].textContent.toLowerCase());

  const state = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    return Object.fromEntries(KEYS.map((key) => [key, words.get(key) || ""]));
  };
  const change = (changes) => {
    const words = Object.entries({ ...state(), ...changes }).filter(([, word]) => word);
    history.replaceState(null, "", "#" + new URLSearchParams(words));
    limit = STEP;
    show();
  };

  const inputs = {};
  const field = (key, name, input) => {
    input.addEventListener("input", () => change({ [key]: input.value }));
    inputs[key] = input;
    return element("label", {}, name + " ", input);
  };
  const choice = (key, name) => {
    const counts = new Map();
    for (const row of rows) {
      for (const word of key === "cause" ? value(row, key).split(" ").filter(Boolean) : [value(row, key)]) {
        counts.set(word, (counts.get(word) || 0) + 1);
      }
    }
    const words = Array.from(counts.keys()).sort(natural.compare);
    const select = element("select", {}, element("option", { value: "" }, "any"));
    select.append(...words.map((word) => element("option", { value: word }, word + " (" + counts.get(word) + ")")));
    return field(key, name, select);
  };

  const said = element("output", { className: "faint" });
  const clear = element("button", { type: "button" }, "clear");
  clear.addEventListener("click", () => change(Object.fromEntries(KEYS.map((key) => [key, ""]))));
  const more = element("button", { type: "button" }, "show more");
  more.addEventListener("click", () => {
    limit += 2 * STEP;
    show();
  });
  const bar = element(
    "form",
    { className: "panel filter" },
    field("text", "Words", element("input", { type: "search" })),
    choice("verdict", "Verdict"),
    choice("kernel", "Kernel"),
    choice("cause", "Cause"),
    field("host", "Host", element("input", { type: "search" })),
    field("since", "Since", element("input", { type: "date" })),
    field("until", "Until", element("input", { type: "date" })),
    clear,
    said,
  );
  bar.addEventListener("submit", (event) => event.preventDefault());
  table.before(bar);
  table.after(more);

  const heads = new Map();
  for (const head of Array.from(table.tHead.rows[0].cells).slice(0, COLUMNS.length)) {
    const column = COLUMNS[head.cellIndex];
    const button = element("button", { type: "button" }, head.textContent);
    button.addEventListener("click", () => change({ sort: state().sort === column ? "-" + column : column }));
    head.replaceChildren(button);
    heads.set(column, head);
  }
  for (const group of document.querySelectorAll("td[data-key]")) {
    const button = element("button", { type: "button", title: "show these incidents" }, group.textContent);
    button.addEventListener("click", () => {
      const none = Object.fromEntries(KEYS.map((key) => [key, ""]));
      change({ ...none, [group.dataset.of]: group.dataset.key, sort: state().sort });
      bar.scrollIntoView();
    });
    group.replaceChildren(button);
  }

  const order = (found, sort) => {
    if (!sort) {
      return found;
    }
    const down = sort.startsWith("-");
    const column = down ? sort.slice(1) : sort;
    if (!COLUMNS.includes(column)) {
      return found;
    }
    const keyed = found.map((row) => [cell(row, column), row]);
    keyed.sort(([one], [other]) => (down ? natural.compare(other, one) : natural.compare(one, other)));
    return keyed.map(([, row]) => row);
  };
  const matches = (asked) => {
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    return (row, index) =>
      (!asked.verdict || value(row, "verdict") === asked.verdict) &&
      (!asked.kernel || value(row, "kernel") === asked.kernel) &&
      (!asked.cause || value(row, "cause").split(" ").includes(asked.cause)) &&
      (!asked.host || value(row, "host") === asked.host) &&
      (!asked.panic || value(row, "panic") === asked.panic) &&
      (!asked.damage || value(row, "damage") === asked.damage) &&
      (!asked.since || value(row, "crashed") >= asked.since) &&
      // A day counts whole; a crash of which no time is known is not known to be that old.
      (!asked.until || (value(row, "crashed") > "0" && value(row, "crashed").slice(0, 10) <= asked.until)) &&
      words.every((word) => text(index).includes(word));
  };
  function show() {
    const asked = state();
    const found = rows.filter(matches(asked));
    body.replaceChildren(...order(found, asked.sort).slice(0, limit));
    const counted = found.filter((row) => !("x" in row.dataset)).length;
    said.value =
      found.length.toLocaleString("en") + " of " + rows.length.toLocaleString("en") +
      (rows.length < Number(table.dataset.all) ? " on this page" : "") +
      (counted < found.length ? ", of which " + counted.toLocaleString("en") + " count" : "");
    more.hidden = found.length <= limit;
    more.textContent = "show more (" + (found.length - limit).toLocaleString("en") + " are left)";
    for (const [key, input] of Object.entries(inputs)) {
      if (input.value !== asked[key]) {
        input.value = asked[key];
      }
    }
    for (const [column, head] of heads) {
      head.ariaSort = asked.sort === column ? "ascending" : asked.sort === "-" + column ? "descending" : "none";
    }
  }
  addEventListener("hashchange", () => {
    limit = STEP;
    show();
  });
  show();
})();
