"use strict";
// Fills the page anew each second. page.py makes the same texts; whoever changes one changes both.
// What comes of requests is of strangers: everything goes in as text, never as markup.
(() => {
  const SPAN_S = 300;
  const EVERY_MS = 1000;
  const PATIENCE_MS = 5000;
  const LONG_S = 10;

  const find = (id) => document.getElementById(id);
  const plain = (text) => document.createTextNode(text);

  function make(name, kind, ...parts) {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.append(...parts);
    return made;
  }

  // Texts.

  function age(given) {
    const seconds = Math.max(0, given);
    if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
  }

  function size(given) {
    let number = given;
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (number < 1024) return `${number.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
      number /= 1024;
    }
    return `${number.toFixed(1)} TiB`;
  }

  const count = (number) => Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const few = (number) => (number < 10 ? number.toFixed(1) : count(number));
  const sum = (entries, key) => entries.reduce((all, one) => all + (one[key] || 0), 0);
  const given = (value, say) => (value === undefined || value === null ? "–" : say(value));

  // What happens in a second: from one look to the next.

  let before = null;

  function remember(now) {
    const known = { pid: now.pid, at: now.uptime_s, counts: new Map() };
    known.counts.set("all", now.totals.requests);
    for (const one of now.workers) known.counts.set(`pid ${one.pid}`, one.requests);
    for (const one of now.routes || []) known.counts.set(`route ${one.site} ${one.route}`, one.requests);
    before = known;
  }

  function rate(now, key, requests) {
    if (!before || before.pid !== now.pid || !before.counts.has(key)) return null;
    const seconds = now.uptime_s - before.at;
    const more = requests - before.counts.get(key);
    return seconds > 0 && more >= 0 ? more / seconds : null;
  }

  // Rows: only those that have changed are replaced, so that what is marked stays marked.

  function fill(place, rows) {
    rows.forEach((row, index) => {
      const old = place.children[index];
      if (!old) place.append(row);
      else if (!old.isEqualNode(row)) old.replaceWith(row);
    });
    while (place.children.length > rows.length) place.lastElementChild.remove();
  }

  function cell(label, parts, kind = "n") {
    const made = make("td", kind, ...[parts].flat().filter((part) => part !== ""));
    made.dataset.label = label;
    return made;
  }

  // The request for these very figures is nothing that anybody wants to see.
  const isOwn = (request) => request.target.split("?")[0] === location.pathname;

  function doing(request) {
    if (!request || isOwn(request)) return [];
    const kind = request.since_s >= LONG_S ? "long" : "soft";
    const tail = `for ${age(request.since_s)}, ${request.client}`;
    return [plain(`${request.method} ${request.target} `), make("span", kind, tail)];
  }

  function programs(one) {
    return one.programs ? [make("span", "soft", `${count(one.programs)} CGI`), plain(" ")] : [];
  }

  function standing(one) {
    if (typeof one.stalled_s === "number") {
      return make("span", "state lost", `stands still for ${age(one.stalled_s)}`);
    }
    return [make("span", `state ${one.state}`, one.state), plain(" "), make("span", "soft", age(one.since_s))];
  }

  function worker(one, now) {
    const perSecond = one.requests_per_s ?? rate(now, `pid ${one.pid}`, one.requests);
    const waiting = one.threads_waiting ? ` +${one.threads_waiting} waiting` : "";
    return make(
      "tr",
      "",
      cell("Slot", `${one.slot}`),
      cell("State", standing(one), "keep"),
      cell("Generation", `${one.generation}`),
      cell("Pid", given(one.pid, String)),
      cell("Requests", count(one.requests)),
      cell("Per second", given(perSecond, few)),
      cell("Connections", count(one.connections)),
      cell("Threads busy", `${one.threads_busy}${waiting}`),
      cell("CPU", given(one.cpu_percent, (value) => `${value.toFixed(0)} %`), "n cpu"),
      cell("Memory", given(one.memory_pss, size)),
      cell("Busy with", [...programs(one), ...doing(one.request)], "what wide"),
    );
  }

  function route(one, now) {
    const latency = one.latency_ms || {};
    const milliseconds = (value) => `${value.toFixed(1)} ms`;
    const statuses = Object.entries(one.statuses).filter(([, many]) => many);
    return make(
      "tr",
      "",
      cell("Route", one.route, "what wide"),
      cell("Site", one.site || "", ""),
      cell("Requests", count(one.requests)),
      cell("Per second", given(rate(now, `route ${one.site} ${one.route}`, one.requests), few)),
      cell("Answers", statuses.map(([status, many]) => `${status} ${count(many)}`).join(" · "), ""),
      cell("p50", given(latency.p50, milliseconds)),
      cell("p99", given(latency.p99, milliseconds)),
    );
  }

  function listener(one) {
    return make(
      "tr",
      "",
      cell("Address", one.address, "what wide"),
      cell("Protocol", one.protocol, ""),
      cell("Waiting", given(one.queue, count)),
    );
  }

  // Events, the last one first.

  const utc = (at) => `${new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;

  function reload(one) {
    const word = one.ok ? "ok" : "failed";
    return make(
      "li",
      "",
      make("time", "", utc(one.at)),
      make("span", `state ${word}`, word),
      plain(" "),
      make("span", "soft", one.generation ? `generation ${one.generation} serves` : ""),
      ...one.reasons.map((reason) => make("span", "what", reason)),
    );
  }

  function death(one) {
    return make(
      "li",
      "",
      make("time", "", utc(one.at)),
      make("span", "state lost", `${one.kind} ${one.slot} gen ${one.generation} pid ${one.pid}`),
      plain(` ${one.reason}`),
      ...(one.request ? [make("span", "what", ...doing(one.request))] : []),
    );
  }

  function events(id, found, say) {
    const rows = (found || []).map(say).reverse();
    fill(find(id), rows.length ? rows : [make("li", "soft", "None since the start.")]);
  }

  // Graphs.

  const NAMESPACE = "http://www.w3.org/2000/svg";
  const graphs = new Map();

  function graph(id, at, value) {
    const points = graphs.get(id) || graphs.set(id, []).get(id);
    const last = points.length ? points[points.length - 1].at : 0;
    if (last > at) points.length = 0; // another master
    if (last === at) return; // the same answer
    points.push({ at, value });
    while (points[0].at < at - SPAN_S) points.shift();
    const peak = Math.max(...points.map((point) => point.value));
    const figure = find(id);
    figure.querySelector("strong").textContent = few(value).replace(/\.0$/, "");
    figure.querySelector(".most").textContent = `peak ${few(peak).replace(/\.0$/, "")} in 5 min`;
    const place = (point) =>
      `${(300 - ((at - point.at) / SPAN_S) * 300).toFixed(2)} ${(54 - (point.value / (peak || 1)) * 46).toFixed(2)}`;
    const line = `M${points.map(place).join("L")}`;
    const first = place(points[0]).split(" ")[0];
    const svg = figure.querySelector("svg");
    draw(svg, 0, "area", `${line}L300 56L${first} 56Z`);
    draw(svg, 1, "curve", line);
  }

  function draw(svg, index, kind, path) {
    let shape = svg.children[index];
    if (!shape) {
      shape = document.createElementNS(NAMESPACE, "path");
      shape.setAttribute("class", kind);
      svg.append(shape);
    }
    shape.setAttribute("d", path);
  }

  // The whole.

  function totals(now) {
    const total = now.totals;
    const pairs = [
      ["Requests", count(total.requests)],
      ["Errors (5xx)", count(total.errors)],
      ["Connections so far", count(total.connections)],
      ["Sent", size(total.bytes_sent)],
      ["Waiting for a thread", count(sum(now.workers, "threads_waiting"))],
      ["Memory of workers", size(sum(now.workers, "memory_pss"))],
    ];
    const used = (now.routes || []).map((one) => one.programs).filter(Boolean);
    const running = sum(now.workers, "programs");
    if (used.length || running) {
      pairs.push(["Programs running", count(running)], ["CPU of programs", age(sum(used, "cpu_s"))]);
    }
    const queue = now.queue_ms || {};
    if (queue.p99 !== undefined && queue.p99 !== null) {
      pairs.push(["Queued, p50 / p99", `${queue.p50.toFixed(0)} / ${queue.p99.toFixed(0)} ms`]);
    }
    return pairs.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value)));
  }

  function generations(workers) {
    const found = new Map();
    for (const one of workers) {
      const states = found.get(one.generation) || found.set(one.generation, new Map()).get(one.generation);
      states.set(one.state, (states.get(one.state) || 0) + 1);
    }
    const say = (states) => [...states].sort().map(([state, many]) => `${many} ${state}`).join(", ");
    const newest = [...found].sort((one, other) => other[0] - one[0]);
    return newest.map(([number, states]) => `generation ${number}: ${say(states)}`).join(" · ");
  }

  function show(now) {
    document.title = `forkd: ${now.state}`;
    find("state").textContent = now.state;
    find("state").className = `state ${now.state}`;
    find("about").textContent =
      `${now.config} · generation ${now.generation} · up ${age(now.uptime_s)} · pid ${now.pid} · version ${now.version}`;
    fill(find("totals"), totals(now));
    find("generations").textContent = generations(now.workers);
    const cpu = now.workers.some((one) => "cpu_percent" in one);
    find("workers").parentElement.classList.toggle("no-cpu", !cpu);
    fill(find("workers"), now.workers.map((one) => worker(one, now)));
    const routes = now.routes || [];
    find("routes-section").hidden = !routes.length;
    fill(find("routes"), routes.map((one) => route(one, now)));
    fill(find("listeners"), now.listeners.map(listener));
    events("reloads", now.reloads || (now.last_reload ? [now.last_reload] : []), reload);
    events("deaths", now.deaths, death);
    const perSecond = rate(now, "all", now.totals.requests);
    if (perSecond !== null) graph("g-requests", now.uptime_s, perSecond);
    graph("g-connections", now.uptime_s, sum(now.workers, "connections"));
    graph("g-busy", now.uptime_s, sum(now.workers, "threads_busy"));
    find("asof").textContent = new Date().toLocaleTimeString();
    remember(now);
  }

  // Looking.

  let answeredAt = Date.now();

  function complain(reason) {
    const trouble = find("trouble");
    trouble.textContent = reason
      ? `${reason} The figures are ${age((Date.now() - answeredAt) / 1000)} old.`
      : "";
    trouble.hidden = !reason;
    find("alive").hidden = Boolean(reason);
  }

  async function look() {
    let reason = "";
    try {
      const answer = await fetch(`${location.pathname}?json`, {
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (answer.ok) {
        show(await answer.json());
        answeredAt = Date.now();
      } else {
        reason = `forkd answers with status ${answer.status}.`;
      }
    } catch (error) {
      reason = "forkd does not answer.";
    }
    complain(reason);
  }

  async function watch() {
    for (;;) {
      const begun = Date.now();
      if (!document.hidden) await look();
      await new Promise((done) => setTimeout(done, Math.max(100, EVERY_MS - (Date.now() - begun))));
    }
  }

  watch();
})();
