// Progressive enhancement: copy buttons, and fresh figures while an experiment runs. Pages work without it.
(() => {
  "use strict";

  const PERIOD_MS = 5000;
  const LONGEST_MS = 60000;
  const status = document.getElementById("live");
  const main = document.getElementById("content");
  let wait = PERIOD_MS;
  let timer = 0;

  function say(words) {
    if (status.textContent !== words) status.textContent = words;
  }

  // Copy buttons

  function addCopyButtons(root) {
    if (!navigator.clipboard) return;
    for (const code of root.querySelectorAll("code[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy: ${code.textContent}`);
      button.addEventListener("click", () => copy(code, button));
      code.parentElement.classList.add("copies");
      code.parentElement.append(button);
    }
  }

  async function copy(code, button) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it";
      getSelection().selectAllChildren(code);
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  // Fresh figures

  function live() {
    return main.hasAttribute("data-live") && location.protocol.startsWith("http");
  }

  function reading() {
    const selection = getSelection();
    return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  }

  /** What the reader has opened, scrolled and focused in a section must survive its replacement. */
  function replaceSection(old, fresh) {
    const open = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
    const scrolled = [...old.querySelectorAll(".scroll[id]")].map((one) => [one.id, one.scrollLeft, one.scrollTop]);
    const focused = old.contains(document.activeElement) ? old.querySelectorAll(FOCUSABLE) : null;
    const place = focused ? [...focused].indexOf(document.activeElement) : -1;
    old.replaceWith(fresh);
    addCopyButtons(fresh);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, left, top] of scrolled) document.getElementById(id)?.scrollTo(left, top);
    if (place >= 0) fresh.querySelectorAll(FOCUSABLE)[place]?.focus({ preventScroll: true });
  }

  const FOCUSABLE = "a[href], button, summary, [tabindex]";
  const served = new Map();

  function remember() {
    for (const section of main.children) if (section.id) served.set(section.id, section.outerHTML);
  }

  function update(fresh) {
    const sections = [...fresh.children].filter((one) => one.id);
    if (sections.length !== served.size || sections.some((one) => !served.has(one.id))) {
      location.reload();
      return;
    }
    for (const section of sections) {
      const html = section.outerHTML;
      if (served.get(section.id) === html) continue;
      served.set(section.id, html);
      replaceSection(document.getElementById(section.id), document.importNode(section, true));
    }
    main.toggleAttribute("data-live", fresh.hasAttribute("data-live"));
  }

  async function refresh() {
    if (reading()) return;
    const before = document.title;
    const reply = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (!reply.ok) throw new Error(String(reply.status));
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.getElementById("content");
    if (!fresh) throw new Error("no content");
    update(fresh);
    document.title = page.title;
    if (before !== page.title) say(`Changed: ${page.title.split(" · ")[0]}`);
    else if (!live()) say("");
    else if (!status.textContent.startsWith("Changed")) say("Live");
  }

  async function turn() {
    timer = 0;
    try {
      await refresh();
      wait = PERIOD_MS;
    } catch {
      wait = Math.min(wait * 2, LONGEST_MS);
      say("Connection lost, trying again");
    }
    plan();
  }

  function plan() {
    if (timer || document.hidden || !live()) return;
    timer = setTimeout(turn, wait);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = 0;
    if (!document.hidden && live()) turn();
  });

  remember();
  addCopyButtons(document);
  if (live()) {
    say("Live");
    plan();
  }
})();
