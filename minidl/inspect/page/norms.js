// Above the scrubber: the norm of the gradients at each step, on a logarithmic scale; red where a NaN or an infinity is.

function drawNorms(canvas, steps, index) {
  const ratio = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  if (!width) return;
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const context = canvas.getContext("2d"), style = getComputedStyle(canvas);
  context.scale(ratio, ratio);
  const logs = steps.map((s) => Math.log10(Math.max(Math.min(s.norm, 1e30), 1e-30)));
  const known = logs.filter((l, i) => steps[i].norm > 0 && Number.isFinite(steps[i].norm));
  const [low, high] = [Math.min(...known, 0) - 0.3, Math.max(...known, 0)];
  const inset = 8, slot = (width - 2 * inset) / (steps.length + 1);
  steps.forEach((step, i) => {
    const share = step.odd ? 1 : step.norm > 0 ? Math.max((logs[i] - low) / (high - low || 1), 0.06) : 0.03;
    context.fillStyle = style.getPropertyValue(step.odd ? "--bad" : i === index ? "--accent" : i < index ? "--done" : "--faint");
    const bar = Math.max(share * height, 1), wide = Math.max(Math.min(slot - 1, 14), 0.8);
    context.fillRect(inset + slot * (i + 1) + (slot - wide) / 2 - slot / 2, height - bar, wide, bar);
  });
}
