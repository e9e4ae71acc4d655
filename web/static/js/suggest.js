// Completion of metric names and functions in the PromQL box: an ARIA combobox
// whose list offers what the word at the caret may become.

const FUNCTIONS = ['rate(', 'increase(', 'sum by (class) (', 'avg_over_time(', 'max_over_time(', 'histogram_quantile(0.99, ', 'topk(5, '];
const SHOWN = 10;

export function suggest(input, kit) {
  const {h} = kit;
  let names = [], at = -1, found = [];
  const list = h('ul', {class: 'suggest', role: 'listbox', id: 'suggestions', 'aria-label': 'Completions', hidden: true});
  input.after(list);
  for (const [k, v] of Object.entries({role: 'combobox', 'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': 'suggestions'})) input.setAttribute(k, v);

  const load = async () => {
    if (names.length || kit.agent.noHistory()) return;
    try {
      names = await kit.labelValues('__name__');
    } catch { /* completion is a courtesy; the query itself will tell */ }
  };
  const word = () => /[a-zA-Z_:][\w:]*$/.exec(input.value.slice(0, input.selectionStart))?.[0] ?? '';
  const close = () => {
    list.hidden = true;
    at = -1;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };
  const take = s => {
    const caret = input.selectionStart, w = word();
    input.setRangeText(s, caret - w.length, caret, 'end');
    close();
    input.focus();
  };
  const mark = i => {
    at = (i + found.length) % found.length;
    [...list.children].forEach((li, k) => li.setAttribute('aria-selected', String(k === at)));
    input.setAttribute('aria-activedescendant', `suggestion-${at}`);
    list.children[at].scrollIntoView({block: 'nearest'});
  };
  const open = async () => {
    await load();
    const w = word().toLowerCase();
    if (w.length < 2) return close();
    const rank = n => n.toLowerCase().startsWith(w) ? 0 : n.toLowerCase().includes(w) ? 1 : 2;
    found = [...names, ...FUNCTIONS].filter(n => rank(n) < 2 && n.toLowerCase() !== w).sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN);
    if (found.length === 0) return close();
    kit.put(list, found.map((n, i) => h('li', {role: 'option', id: `suggestion-${i}`, 'aria-selected': 'false', onmousedown: e => {
      e.preventDefault(); // keeps the focus in the box
      take(n);
    }}, n)));
    list.hidden = false;
    at = -1;
    input.setAttribute('aria-expanded', 'true');
  };
  input.addEventListener('focus', load);
  input.addEventListener('input', open);
  input.addEventListener('blur', close);
  input.addEventListener('keydown', e => {
    if (list.hidden) return;
    if (e.key === 'ArrowDown') mark(at + 1);
    else if (e.key === 'ArrowUp') mark(at < 0 ? found.length - 1 : at - 1);
    else if (e.key === 'Escape') close();
    else if ((e.key === 'Enter' || e.key === 'Tab') && at >= 0) take(found[at]);
    else return;
    e.preventDefault();
  });
}
