// SPDX-FileCopyrightText: netops.ephemeral_ports contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// Without this script all hosts are listed, the worst first, and links open one at a time.
"use strict";
{
  const root = document.documentElement;
  const table = document.getElementById("rows");
  const hosts = [...table.tBodies];
  root.classList.add("scripted");

  // Filter
  const field = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const texts = hosts.map((host) => `${host.dataset.words} ${host.rows[0].textContent}`.toLowerCase());
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    hosts.forEach((host, index) => {
      host.hidden = !words.every((word) => texts[index].includes(word));
      number += !host.hidden;
    });
    shown.value = words.length ? `${number} of ${hosts.length}` : "";
  };
  field.addEventListener("input", filter);
  field.closest("p").hidden = false;
  for (const link of document.querySelectorAll("a[data-filter]")) {
    link.addEventListener("click", () => {
      field.value = link.dataset.filter;
      filter();
    });
  }

  // Open
  const open = (host, is) => {
    const link = host.querySelector("th a");
    if (!link) return;
    host.classList.toggle("open", is);
    link.setAttribute("aria-expanded", is);
  };
  for (const host of hosts) open(host, false);
  table.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || !row.querySelector("th a") || event.ctrlKey || event.metaKey || String(getSelection())) return;
    event.preventDefault();
    open(row.parentElement, !row.parentElement.classList.contains("open"));
  });
  const follow = () => {
    const host = location.hash.startsWith("#host-") && document.getElementById(location.hash.slice(1));
    if (!host) return;
    if (host.hidden) {
      field.value = "";
      filter();
    }
    open(host, true);
    host.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();

  // Sort: the most or the first, the other way round, and as it was. What has no value comes last.
  const LEVELS = ["unknown", "ok", "warning", "critical", "exhausted"];
  const order = new Intl.Collator("en", { numeric: true }).compare;
  const keys = {
    level: (text) => LEVELS.indexOf(text) + 1 || null,
    number: (text) => parseFloat((text.replace(/,/g, "").match(/[0-9.]+/) || [NaN])[0]) || 0,
    text: (text) => text,
  };
  for (const one of document.querySelectorAll("table.sort")) {
    const place = one === table ? table : one.tBodies[0];
    const lines = [...(one === table ? hosts : place.rows)];
    if (lines.length < 2) continue;
    const heads = [...one.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const by = head.dataset.by || "text";
      const ways = by === "text" ? ["ascending", "descending", ""] : ["descending", "ascending", ""];
      const key = (line) => {
        const cell = (line.rows ? line.rows[0] : line).cells[column];
        const text = cell.textContent.trim();
        return text ? keys[by](cell.dataset.key || text) : null;
      };
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const way = ways[(ways.indexOf(head.getAttribute("aria-sort") || "") + 1) % 3];
        for (const other of heads) other.removeAttribute("aria-sort");
        let sorted = lines;
        if (way) {
          head.setAttribute("aria-sort", way);
          const sign = way === "ascending" ? 1 : -1;
          const compare = by === "text" ? order : (a, b) => a - b;
          sorted = lines.map((line) => [key(line), line]).sort(([a], [b]) => {
            if (a === null || b === null) return (a === null) - (b === null);
            return sign * compare(a, b);
          }).map(([, line]) => line);
        }
        place.append(...sorted);
      });
    });
  }
}
