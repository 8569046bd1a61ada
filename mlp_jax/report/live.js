// Renews a page where it is served: asks for it now and then, and puts in what has changed.
// What has not changed stays as it is: sorted, opened, scrolled, with the focus where it was.
{
  const POLL = 2000, TRIES = 3;
  const HOLDS = "body, main, header, section, .figures, .answer"; // what is renewed child by child
  const received = new WeakMap(); // each element as it came, before it was sorted or opened here
  const all = (root, names) => [...root.querySelectorAll(names)];

  const remember = (element) => {
    received.set(element, element.outerHTML);
    if (element.matches(HOLDS)) for (const child of element.children) remember(child);
  };

  const named = (parent) => { // the children by id, headings by their words, others by kind and number
    const counts = {};
    return new Map([...parent.children].map((child) => {
      const kind = /^H\d$/.test(child.tagName) ? child.textContent : child.className;
      const name = child.id || `${child.tagName}.${kind}`;
      counts[name] = (counts[name] ?? 0) + 1;
      return [`${name} ${counts[name]}`, child];
    }));
  };

  const keep = (old, fresh) => { // how a person has left what is replaced
    if (old.open !== undefined) fresh.open = old.open;
    const before = all(old, "table.sortable"), after = all(fresh, "table.sortable");
    before.forEach((table, i) => {
      const head = table.querySelector("th[aria-sort]");
      const same = head && after[i] && all(after[i], "th").find((th) => th.textContent === head.textContent);
      if (same) for (let clicks = head.ariaSort === "ascending" ? 1 : 2; clicks; clicks--) same.firstChild.click();
    });
    const scrolls = (root) => [root, ...all(root, ".scroll")];
    scrolls(old).forEach((box, i) => { const to = scrolls(fresh)[i]; if (to) to.scrollLeft = box.scrollLeft; });
  };

  const replace = (old, fresh) => {
    const reached = (root) => [root, ...all(root, "button, summary, a, [tabindex]")];
    const focus = reached(old).indexOf(document.activeElement);
    remember(fresh);
    old.before(fresh); // both are there while one is read off the other
    keep(old, fresh);
    old.remove();
    if (focus >= 0) reached(fresh)[focus]?.focus({ preventScroll: true });
  };

  const renew = (old, fresh) => {
    if (received.get(old) === fresh.outerHTML) return;
    if (!old.matches(HOLDS)) return replace(old, fresh);
    received.set(old, fresh.outerHTML);
    const here = named(old), there = named(fresh);
    for (const [name, child] of here) if (!there.has(name)) child.remove();
    let place = old.firstElementChild;
    for (const [name, child] of there) {
      const same = here.get(name);
      if (!same) { remember(child); old.insertBefore(child, place); continue; }
      if (same === place) place = place.nextElementSibling; else old.insertBefore(same, place);
      renew(same, child);
    }
  };

  const put = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const script of all(fresh, "script")) script.remove();
    const goesOn = fresh.getElementById("live") !== null; // what is put in is not there any more
    const seen = all(document, "figure, p, h2, h3, tr, pre").find((e) => e.getBoundingClientRect().bottom > 0);
    const mark = seen?.closest("figure[id], [id]")?.id, top = seen?.getBoundingClientRect().top;
    renew(document.body, fresh.body);
    const now = seen?.isConnected ? seen : mark && document.getElementById(mark);
    if (now && scrollY > 0) scrollBy({ top: now.getBoundingClientRect().top - top, behavior: "instant" });
    document.title = fresh.title;
    clocks();
    return goesOn;
  };

  const say = (text) => { const line = document.getElementById("live"); if (line) line.textContent = text; };
  const clocks = () => {
    for (const clock of all(document, "time[data-since]")) {
      const seconds = Math.max(0, Math.round(Date.now() / 1000 - clock.dataset.since));
      clock.textContent = `for ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    }
  };

  let tag = "", failures = 0;
  const look = async () => {
    const answer = await fetch(location.href, { cache: "no-store", headers: { "If-None-Match": tag } }).catch(() => null);
    const same = answer?.status === 304; // any other answer is that of another server
    const text = same ? "" : answer?.status === 200 ? await answer.text().catch(() => null) : null;
    failures = text !== null ? 0 : failures + 1;
    if (text) tag = answer.headers.get("ETag");
    const goes = text ? put(text) : failures < TRIES;
    if (goes) setTimeout(look, POLL);
    else if (failures) say(`The server has ended. This is how far the study was at ${new Date().toLocaleTimeString()}.`);
  };

  for (const script of all(document, "script")) script.remove(); // they have been read
  document.documentElement.style.overflowAnchor = "none";
  remember(document.body);
  clocks();
  setInterval(clocks, 1000);
  look();
}
