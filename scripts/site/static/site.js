// SPDX-FileCopyrightText: netops.ephemeral_ports contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// What has to be scrolled sideways can be reached by keyboard, as long as it has to.
"use strict";
addEventListener("DOMContentLoaded", () => {
  const watch = new ResizeObserver((changed) => {
    for (const { target } of changed) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const one of document.querySelectorAll("pre, .table-wrapper, .ansible-option-table")) watch.observe(one);
});
