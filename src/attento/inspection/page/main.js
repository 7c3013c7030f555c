// The page as a whole: its head, its views and its keys.

const VIEWS = [["heads", "Heads", showHeads], ["flow", "Data flow", showFlow], ["alignment", "Alignment", showAlignment], ["words", "Word by word", showWords]];
const drawn = new Set();

function showText() {
  const texts = document.getElementById("texts");
  const line = (text, kind) => texts.append(make("p", { className: `text ${kind}${text.length > 300 ? " long" : ""}`, dir: "auto" }, text));
  data.texts.forEach((text) => line(text, ""));
  if (data.said) line(data.said, "answer");
  const given = data.given ? " · the translation was given" : "";
  document.getElementById("about").textContent = `${data.run}: ${data.kind} · ${data.architecture} · ${data.parameters.toLocaleString("en")} parameters${given}`;
  data.notes.forEach((note) => texts.append(make("p", { className: "quiet" }, note)));
}

function show(id) {
  VIEWS.forEach(([each, , render]) => {
    const tab = document.getElementById(`tab-${each}`), panel = document.getElementById(each), now = each === id;
    tab.setAttribute("aria-selected", String(now));
    tab.tabIndex = now ? 0 : -1;
    panel.hidden = !now;
    if (now && !drawn.has(each)) {
      render(panel);
      drawn.add(each);
    }
  });
}

function makeTabs() {
  const tabs = document.getElementById("tabs");
  VIEWS.forEach(([id, name]) => {
    const tab = make("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": id }, name);
    tab.addEventListener("click", () => show(id));
    tabs.append(tab);
  });
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], place = VIEWS.findIndex(([id]) => `tab-${id}` === document.activeElement.id);
    if (!step || place < 0) return;
    const [id] = VIEWS[(place + step + VIEWS.length) % VIEWS.length];
    show(id);
    document.getElementById(`tab-${id}`).focus();
  });
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || (event.target.tagName === "INPUT" && event.target.type !== "checkbox")) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view) show(view[0]);
  if (document.getElementById("heads").hidden || !data.groups.length) return;
  const key = event.key.toLowerCase();
  if (key === "k") open({ group: (state.group + 1) % data.groups.length, layer: Infinity });
  if (key === "w") open({ words: !state.words });
  if (key === "m") open({ hide: !state.hide });
}

showText();
makeTabs();
show(data.groups.length ? "heads" : "flow");
document.addEventListener("keydown", onKey);
// Matrices are painted in the colours of the moment.
dark.addEventListener("change", () => {
  drawn.clear();
  show(VIEWS.find(([id]) => !document.getElementById(id).hidden)[0]);
});
