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

// icon draws a symbol of icons.svg.
export function icon(name) {
  return svg('svg', {class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true'},
    svg('use', {href: `/static/icons.svg#${name}`}));
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
