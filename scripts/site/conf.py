# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of the documentation site, which `make site` builds. Nothing is fetched while it is built."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

REPOSITORY = "https://github.com/netops/ephemeral_ports"
ANSIBLE = "https://docs.ansible.com/ansible/latest"
# Pages of Ansible that the generated reference refers to by label.
ANSIBLE_PAGES = {
    "action_plugins": ANSIBLE + "/plugins/action.html",
    "ansible_collections.ansible.builtin.": ANSIBLE + "/collections/ansible/builtin/{}.html",
    "ansible_configuration_settings": ANSIBLE + "/reference_appendices/config.html",
    "callback_plugins": ANSIBLE + "/plugins/callback.html",
    "common_return_values": ANSIBLE + "/reference_appendices/common_return_values.html",
}

# What lies beside docs/ and is a page of the site.
PAGES_OF_THE_ROOT = {"CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}

project = "netops.ephemeral_ports"
author = "netops.ephemeral_ports contributors"
project_copyright = author

extensions = ["myst_parser", "sphinx_antsibull_ext", "sphinx_copybutton"]
# What is typed is copied, not what is printed.
copybutton_selector = "div:not(.highlight-text) > .highlight > pre"
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_here_doc_delimiter = "EOF"
nitpicky = True
myst_heading_anchors = 3
highlight_language = "none"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
antsibull_ext_color_scheme = "none"
html_title = "Ephemeral ports"
html_copy_source = False
html_show_sphinx = False


def link_to_repository(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Guides refer to files outside of docs/ as they lie in the checkout; on the site these are in the repository.

    Pictures that the tarball leaves out are in the repository for guides; on the site they are at hand.
    """
    text = source[0].replace(f"]({REPOSITORY}/raw/main/docs/", "](").replace("](docs/", "](")
    for file, here in PAGES_OF_THE_ROOT.items():
        text = re.sub(rf"\]\(\.\./{re.escape(file)}([)#])", rf"]({here}\1", text)
    source[0] = re.sub(r"\]\(\.\./([^)]+)\)", rf"]({REPOSITORY}/blob/main/\1)", text)


def shorten_reference(_app: Sphinx, page: str, source: list[str]) -> None:
    """The generated pages come with a list of contents, which the theme has already, and with very long titles."""
    if page.startswith("reference/"):
        text = re.sub(r"^\.\. contents::\n(?: +.*\n)*", "", source[0], flags=re.MULTILINE)
        source[0] = re.sub(rf"^{re.escape(project)}\.(\w+ (?:\w+ )?-- )", r"\1", text, flags=re.MULTILINE)


def link_to_ansible(
    _app: Sphinx, _env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """References to Ansible's own documentation, without its inventory."""
    target = node.get("reftarget", "")
    for label, address in ANSIBLE_PAGES.items():
        if target.startswith(label):
            page = address.format(target.removeprefix(label))
            return nodes.reference("", "", content, internal=False, refuri=page)
    return None


def setup(app: Sphinx) -> None:
    app.connect("source-read", link_to_repository)
    app.connect("source-read", shorten_reference)
    app.connect("missing-reference", link_to_ansible)
