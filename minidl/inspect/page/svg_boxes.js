// Boxes of a saved SVG open and close at a click. `document.currentScript` is not there in SVG everywhere, so the picture
// is found by its class.

(() => {
  const page = [...document.querySelectorAll("svg.minidl-graph")].at(-1), body = page.querySelector(".graph-body");
  const { picture, values, gradients, ops, top, margin, least } = DATA;
  const valueOf = (part) => (part.kind === "op" ? ops[part.ref] : part.ref);
  const figures = values && { gradients: Object.keys(gradients).length > 0, value: (part) => values[valueOf(part)], grad: (part) => gradients[valueOf(part)] };
  const draw = () => {
    const graph = drawGraph(picture.root, figures);
    const width = Math.max(graph.width + 2 * (margin - PAD), least), height = top + graph.height - 2 * PAD + margin;
    graph.element.setAttribute("transform", `translate(${(width - graph.width) / 2} ${top - PAD})`);
    body.replaceChildren(graph.element);
    for (const element of [page, page.querySelector(".k-paper rect")]) {
      element.setAttribute("width", width);
      element.setAttribute("height", height);
    }
    page.setAttribute("viewBox", `0 0 ${width} ${height}`);
  };
  body.addEventListener("click", (event) => {
    const part = partOf(picture.root, event.target.closest("[data-key]")?.dataset.key);
    if (part?.kind !== "box") return;
    part.open = !part.open;
    draw();
  });
})();
