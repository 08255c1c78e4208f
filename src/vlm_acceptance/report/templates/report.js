"use strict";
// The page can be read without this script: it filters, opens what a link names, and copies commands.
(() => {
  const one = (name) => document.getElementById(name);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const rows = all("[data-find]");
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };

  function filter() {
    const words = one("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcome = one("find-outcome").value;
    const area = one("find-area").value;
    let shown = 0, total = 0;
    for (const row of rows) {
      const isTest = row.dataset.outcome !== undefined;
      const fits = words.every((word) => textOf(row).includes(word))
        && (!isTest || ((!outcome || row.dataset.outcome === outcome) && (!area || row.dataset.area === area)));
      row.hidden = !fits;
      if (row.tagName === "TR") { total += 1; shown += fits ? 1 : 0; }
    }
    for (const group of all("table.tests tbody, article.cause, details.question")) {
      group.hidden = !group.querySelector("[data-find]:not([hidden])");
    }
    if (words.length || outcome || area) all("details.members").forEach((one) => { one.open = true; });
    if (words.length) all("details.question").forEach((one) => { one.open = true; });
    const found = one("found");
    found.textContent = found.dataset.of.replace("%1", shown).replace("%2", total);
  }

  function reveal() {
    const target = location.hash && one(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    target.scrollIntoView();
  }

  if (one("find")) {
    const labels = document.querySelector("table.tests").dataset;
    document.querySelector(".filter").hidden = false;
    one("find").addEventListener("input", filter);
    one("find-outcome").addEventListener("change", filter);
    one("find-area").addEventListener("change", filter);
    filter();
    for (const block of all("pre.copy")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = labels.copy;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.textContent);
        button.textContent = labels.copied;
      });
      block.before(button);
    }
  }
  addEventListener("hashchange", reveal);
  reveal();

  const opened = [];
  addEventListener("beforeprint", () => {
    for (const folded of all("details:not([open])")) { folded.open = true; opened.push(folded); }
  });
  addEventListener("afterprint", () => {
    for (const folded of opened.splice(0)) folded.open = false;
  });
})();
