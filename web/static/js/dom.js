// Building elements without markup strings: text is always a text node, so what
// a node or a workload calls itself can never become an element.

const SVG = 'http://www.w3.org/2000/svg';

// h(tag, attributes, ...children): attributes starting with "on" are listeners,
// "class" and the rest are attributes, a "vars" object sets CSS custom
// properties (through the CSSOM, which the content security policy permits).
export function h(tag, attrs, ...children) {
  return fill(document.createElement(tag), attrs, children);
}

// svg is h for SVG elements.
export function svg(tag, attrs, ...children) {
  return fill(document.createElementNS(SVG, tag), attrs, children);
}

function fill(el, attrs, children) {
  for (const [k, v] of Object.entries(attrs ?? {})) {
    if (v === undefined || v === null || v === false) continue;
    if (k.startsWith('on')) el.addEventListener(k.slice(2), v);
    else if (k === 'vars') for (const [n, x] of Object.entries(v)) el.style.setProperty(n, x);
    else el.setAttribute(k, v === true ? '' : String(v));
  }
  append(el, children);
  return el;
}

function append(el, children) {
  for (const c of children) {
    if (c === undefined || c === null || c === false) continue;
    if (Array.isArray(c)) append(el, c);
    else el.append(c instanceof Node ? c : String(c));
  }
}

// put replaces an element's children.
export function put(el, ...children) {
  el.replaceChildren();
  append(el, children);
  return el;
}

// text sets an element's text, touching the page only on change.
export function text(el, s) {
  if (el.textContent !== s) el.textContent = s;
  return el;
}

// Icons on a 16 by 16 grid, drawn as strokes or, with a leading "#", filled.
// They live here and not in a file: one of them is wanted when the agent, which
// would serve the file, is gone.
const ICONS = {
  sun: 'M8 5.1a2.9 2.9 0 1 0 0 5.8 2.9 2.9 0 1 0 0-5.8ZM8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M12.8 3.2l-1.1 1.1M4.3 11.7l-1.1 1.1',
  moon: 'M13.4 9.9A5.9 5.9 0 0 1 6.1 2.6a5.9 5.9 0 1 0 7.3 7.3Z',
  auto: '#M8 1.7a6.3 6.3 0 1 0 0 12.6A6.3 6.3 0 1 0 8 1.7Zm0 1.5v9.6A4.8 4.8 0 0 1 8 3.2Z',
  cross: 'm3.5 3.5 9 9M12.5 3.5l-9 9',
  sort: '#M8 2.5 11.5 7h-7ZM8 13.5 4.5 9h7Z',
  dot: '#M8 4a4 4 0 1 0 0 8 4 4 0 1 0 0-8Z',
  play: '#M4.5 2.8v10.4L13 8Z',
  warn: 'M8 2 14.6 13.6H1.4ZM8 6.4v3.2M8 11.6v.1',
};

export function icon(name) {
  const d = ICONS[name], filled = d.startsWith('#');
  return svg('svg', {class: filled ? 'icon filled' : 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true'}, svg('path', {d: filled ? d.slice(1) : d}));
}

// radios builds a group of exclusive buttons, of which one is in the tab order
// and arrows move the choice (the ARIA radio group pattern). items: [{value,
// label, title, icon}]. The returned mark(value) shows another choice.
export function radios(el, items, onpick) {
  el.setAttribute('role', 'radiogroup');
  el.classList.add('segment');
  const buttons = items.map((it, i) => h('button', {
    type: 'button', role: 'radio', title: it.title, 'aria-label': it.title && it.icon ? it.title : null,
    'data-value': it.value,
    onclick: () => pick(i),
    onkeydown: e => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[e.key];
      if (!step) return;
      e.preventDefault();
      const next = (i + step + items.length) % items.length;
      pick(next);
      buttons[next].focus();
    },
  }, it.icon ? icon(it.icon) : it.label));
  const mark = value => {
    const at = items.findIndex(it => it.value === value);
    buttons.forEach((b, i) => {
      b.setAttribute('aria-checked', String(i === at));
      b.tabIndex = i === Math.max(at, 0) ? 0 : -1;
    });
  };
  const pick = i => {
    mark(items[i].value);
    onpick(items[i].value);
  };
  put(el, buttons);
  return mark;
}
