// The shell: finds the panels, shows one by the address (#/<id>?<params>), and
// keeps the tabs, the back button and the keyboard in step.
import {h, put} from './dom.js';
import {fetchJSON} from './api.js';
import {agent} from './agent.js';
import {mountHeader} from './header.js';
import {makeKit} from './kit.js';
import * as overview from './overview.js';
import * as explore from './explore.js';

const view = document.getElementById('view');
const tabs = document.getElementById('tabs');
let panels = []; // {id, title, load() → module}
let shown = null; // {id, params, end}
let turn = 0;

function route() {
  const [, id = '', params = ''] = /^#\/([^?]*)\??(.*)$/.exec(location.hash) ?? [];
  return {id: decodeURIComponent(id) || panels[0].id, params: new URLSearchParams(params)};
}

// go changes the present panel's parameters: a new entry for the back button,
// or, with replace, none.
function go(id, params, {replace = false} = {}) {
  const q = new URLSearchParams(params).toString();
  const hash = `#/${encodeURIComponent(id)}${q ? `?${q}` : ''}`;
  if (replace) {
    history.replaceState(null, '', hash);
    if (shown?.id === id) shown.params = q;
  } else location.hash = hash;
}

async function show() {
  const {id, params} = route();
  if (shown?.id === id && shown.params === params.toString()) return;
  const mine = ++turn;
  const again = shown?.id === id;
  shown?.end();
  shown = {id, params: params.toString(), end() {}};
  for (const tab of tabs.children) {
    const on = tab.dataset.id === id;
    tab.setAttribute('aria-selected', String(on));
    tab.tabIndex = on ? 0 : -1;
    if (on) tab.scrollIntoView({block: 'nearest', inline: 'nearest'});
  }
  const panel = panels.find(p => p.id === id);
  if (!panel) return problem(`There is no panel “${id}”.`);
  view.setAttribute('aria-labelledby', `tab-${id}`);
  view.setAttribute('aria-busy', 'true');
  if (!again) scrollTo(0, 0);
  const {kit, end} = makeKit(id, params, (p, o) => go(id, p, o));
  const box = h('div', {class: `panel panel-${id}`});
  let unmount;
  try {
    const module = await panel.load();
    if (mine !== turn) return end();
    put(view, box);
    unmount = await module.mount(box, kit);
  } catch (err) {
    end();
    console.error(err);
    return problem(`The panel “${panel.title}” could not be shown: ${err.message}`);
  }
  const leave = () => {
    unmount?.();
    end();
    box.remove();
  };
  if (mine !== turn) return leave();
  shown.end = leave;
  view.setAttribute('aria-busy', 'false');
}

function problem(message) {
  put(view, h('div', {class: 'card problem', role: 'alert'}, h('p', null, message), h('p', null, h('a', {href: '#/overview'}, 'To the overview'))));
  view.setAttribute('aria-busy', 'false');
}

function mountTabs() {
  put(tabs, panels.map(p => h('a', {
    role: 'tab', id: `tab-${p.id}`, href: `#/${encodeURIComponent(p.id)}`, 'data-id': p.id, 'aria-controls': 'view', 'aria-selected': 'false',
  }, p.title)));
  tabs.addEventListener('keydown', e => {
    const all = [...tabs.children], at = all.indexOf(document.activeElement);
    const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1}[e.key];
    if (at < 0 || to === undefined) return;
    e.preventDefault();
    all[(to + all.length) % all.length].focus();
  });
}

async function start() {
  mountHeader();
  agent.start();
  document.querySelector('[data-skip]').addEventListener('click', e => {
    e.preventDefault(); // the address belongs to the panels
    view.focus();
  });
  let rooms = [];
  try {
    rooms = (await fetchJSON('/panels.json')).panels;
  } catch (err) {
    console.error(err);
  }
  panels = [
    {id: 'overview', title: 'Overview', load: () => overview},
    ...rooms.map(r => ({...r, load: () => import(`/panels/${encodeURIComponent(r.id)}/panel.js`)})),
    {id: 'explore', title: 'Explore', load: () => explore},
  ];
  mountTabs();
  addEventListener('hashchange', show);
  await show();
}

start();
