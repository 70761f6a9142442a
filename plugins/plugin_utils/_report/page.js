// SPDX-FileCopyrightText: netops.ephemeral_ports contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// Without this script all hosts are listed, and links lead to them.
"use strict";
{
  const field = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const rows = [...document.getElementById("rows").children];
  const text = (row) => {
    const line = row.querySelector("summary, .row");
    return `${row.dataset.words} ${line.textContent}`.toLowerCase();
  };
  const texts = rows.map(text);
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every((word) => texts[index].includes(word));
      number += !row.hidden;
    });
    shown.value = words.length ? `${number} of ${rows.length}` : "";
  };
  field.addEventListener("input", filter);
  field.closest("p").hidden = false;
  for (const link of document.querySelectorAll("a[data-filter]")) {
    link.addEventListener("click", () => {
      field.value = link.dataset.filter;
      filter();
    });
  }
  const open = () => {
    const row = location.hash.startsWith("#host-") && document.getElementById(location.hash.slice(1));
    const details = row && row.querySelector("details");
    if (row && row.hidden) {
      field.value = "";
      filter();
    }
    if (details) {
      details.open = true;
      row.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = rows.map((row) => row.querySelector("details:not([open])")).filter(Boolean);
    if (closed.length <= 50) closed.forEach((details) => { details.open = true; });
    else closed = [];
  });
  addEventListener("afterprint", () => closed.forEach((details) => { details.open = false; }));
  open();
}
