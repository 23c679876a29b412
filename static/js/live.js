// The live page: takes what the console pushes, keeps clocks running between pushes, says whether what it shows is of now.
(function () {
  "use strict";
  const LOGIN_AGAIN = 4403;
  const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 10000;
  // The console says something every 5 s at least (IDLE_S in console/live.py).
  const SILENT_MS = 15000;
  const state = document.getElementById("connection");
  let clockAheadMs = Number(state.dataset.now) - Date.now();
  let waitMs = FIRST_WAIT_MS;
  let lastMs = Number(state.dataset.now);
  let socket = null, heardMs = 0;

  const now = () => Date.now() + clockAheadMs;
  const pad = (number) => String(number).padStart(2, "0");

  function say(kind, text) {
    state.className = "state " + kind;
    if (state.textContent !== text) state.textContent = text;
  }

  function figuresFrom() {
    return "figures from " + new Date(lastMs - clockAheadMs).toLocaleTimeString("en-GB");
  }

  // Changes the old nodes instead of replacing them: focus, selection and screen readers stay where they are.
  function morph(oldParent, newParent) {
    const byId = new Map();
    for (const child of oldParent.children) if (child.id) byId.set(child.id, child);
    const stays = new Set();
    for (const child of newParent.children) if (child.id) stays.add(child.id);
    let old = oldParent.firstChild;
    for (const fresh of [...newParent.childNodes]) {
      const known = fresh.id && byId.get(fresh.id);
      // What stands before it and has no successor goes first: a node that is moved loses the focus.
      while (known && old && known !== old && !stays.has(old.id)) {
        const next = old.nextSibling;
        old.remove();
        old = next;
      }
      if (known && known !== old) {
        oldParent.insertBefore(known, old);
        old = known;
      }
      if (old && old.nodeName === fresh.nodeName && (old.id || "") === (fresh.id || "")) {
        if (old.nodeType === Node.ELEMENT_NODE) morphElement(old, fresh);
        else if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
        old = old.nextSibling;
      } else {
        oldParent.insertBefore(fresh, old);
      }
    }
    while (old) {
      const next = old.nextSibling;
      old.remove();
      old = next;
    }
  }

  function morphElement(old, fresh) {
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    morph(old, fresh);
  }

  function show(message) {
    clockAheadMs = message.now_ms - Date.now();
    if (message.problem) {
      say("stale", message.problem + ": " + figuresFrom());
      return;
    }
    lastMs = message.now_ms;
    say("live", "Live");
    for (const [id, html] of Object.entries(message.regions || {})) {
      const region = document.getElementById(id);
      if (!region) continue;
      const template = document.createElement("template");
      template.innerHTML = html;
      morph(region, template.content);
      window.htmx.process(region);
    }
    tick();
  }

  // As console/words.py writes it: the two largest units.
  function longDuration(whole) {
    for (const [unitS, unit, restS, rest] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
      if (whole < unitS) continue;
      const left = Math.floor((whole % unitS) / restS);
      return Math.floor(whole / unitS) + " " + unit + (left ? " " + left + " " + rest : "");
    }
    return whole + " s";
  }

  function tick() {
    for (const clock of document.querySelectorAll("[data-since]")) {
      const whole = Math.max(0, Math.floor((now() - Number(clock.dataset.since)) / 1000));
      const hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
      clock.textContent = (hours ? hours + ":" + pad(minutes) : minutes) + ":" + pad(whole % 60);
    }
    for (const clock of document.querySelectorAll("[data-ago]")) {
      clock.textContent = longDuration(Math.max(0, Math.floor((now() - Number(clock.dataset.ago)) / 1000)));
    }
    for (const clock of document.querySelectorAll("[data-until]")) {
      clock.textContent = Math.max(0, Math.ceil((Number(clock.dataset.until) - now()) / 1000));
    }
  }

  // A connection may end without a word: the console stands still, the network is gone, a question to the database hangs.
  function watch() {
    if (!socket || performance.now() - heardMs < SILENT_MS) return;
    const silent = socket;
    socket = null;
    silent.close();
    comeBack("Stale: ");
  }

  function comeBack(why) {
    say("stale", why + figuresFrom());
    // Half of it by chance: the browsers of a whole floor must not come back in the same instant.
    setTimeout(connect, waitMs * (0.5 + Math.random() / 2));
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss://" : "ws://";
    const mine = new WebSocket(scheme + location.host + state.dataset.socket);
    socket = mine;
    heardMs = performance.now();
    mine.onmessage = (event) => {
      if (mine !== socket) return;
      waitMs = FIRST_WAIT_MS;
      heardMs = performance.now();
      show(JSON.parse(event.data));
    };
    mine.onclose = (event) => {
      if (mine !== socket) return;
      socket = null;
      if (event.code === LOGIN_AGAIN) {
        location.assign(state.dataset.login + "?next=" + encodeURIComponent(location.pathname));
        return;
      }
      comeBack("Reconnecting… ");
    };
  }

  document.body.addEventListener("htmx:sendError", (event) => notConfirmed(event, "the console does not answer"));
  document.body.addEventListener("htmx:responseError", (event) => notConfirmed(event, "the console refused: " + event.detail.xhr.status));
  function notConfirmed(event, why) {
    const target = event.detail.target;
    const line = document.createElement("p");
    line.className = "answer bad";
    line.textContent = "Not confirmed: " + why;
    target.replaceChildren(line);
  }

  say("waiting", "Connecting… " + figuresFrom());
  setInterval(tick, 1000);
  setInterval(watch, 1000);
  connect();
})();
