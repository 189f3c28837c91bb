"use strict";
(() => {
  // One recording at a time; another one of the same example goes on where the last one was.
  let playing = null;
  document.addEventListener("play", (event) => {
    const next = event.target;
    if (playing && playing !== next && !playing.paused) {
      const same = playing.closest(".example") === next.closest(".example");
      if (same && !playing.ended) next.currentTime = playing.currentTime;
      playing.pause();
    }
    playing = next;
  }, true);

  const form = document.getElementById("controls");
  if (!form) return;
  const field = (name) => document.getElementById(name);
  const list = field("list");
  const cards = Array.from(list.children, (element, place) => ({
    element, place, snr: Number(element.dataset.snr), level: element.dataset.level,
    scores: JSON.parse(element.dataset.scores), shown: element.querySelector(".shown"),
  }));

  const bound = (name, otherwise) => {
    const value = field(name).valueAsNumber;
    return Number.isNaN(value) ? otherwise : value;
  };

  function update() {
    const key = field("score").value, level = field("level").value;
    const [, label, unit] = field("score").selectedOptions[0].text.match(/^(.*?)(?: \(([^()]*)\))?$/);
    const least = bound("least", -Infinity), most = bound("most", Infinity);
    const bounded = least > -Infinity || most < Infinity;
    const [by, way] = field("order").value.split(" ");
    const sign = way === "up" ? 1 : -1;
    const value = (card) => by === "snr" ? card.snr : card.scores[key] ?? null;

    // a score that failed is neither high nor low: it comes last, whichever way
    cards.sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
      return sign * (x - y) || a.place - b.place;
    });
    let count = 0;
    for (const [place, card] of cards.entries()) {
      const score = card.scores[key] ?? null;
      const inside = score === null ? !bounded : least <= score && score <= most;
      const fits = inside && (level === "" || card.level === level);
      card.element.hidden = !fits;
      const number = score === null ? "–" : score.toFixed(unit ? 2 : 3).replace("-", "−");
      card.shown.textContent = `${label} ${number} ${unit ?? ""}`.trim();
      count += fits;
      // moving what is in its place already would stop its sound
      if (list.children[place] !== card.element) list.insertBefore(card.element, list.children[place]);
    }
    field("count").textContent = `${count} of ${cards.length} examples`;
    field("none").hidden = count > 0;
  }

  form.addEventListener("input", update);
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", (event) => event.preventDefault());
  // a link to an example shows it, whatever is filtered
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.hidden) { form.reset(); setTimeout(() => target.scrollIntoView()); }
  });
  form.hidden = false;
  update();
})();
