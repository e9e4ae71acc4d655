// The header: who answers, the time range, the theme; and the banner.
import {h, put, text, icon, radios} from './dom.js';
import {link} from './api.js';
import {timeRange, SPANS} from './clock.js';
import {agent} from './agent.js';
import * as fmt from './format.js';

const STATES = {
  asking: ['asking', 'quiet'], running: ['running', 'ok'], degraded: ['degraded', 'warn'],
  failed: ['a module failed', 'bad'], gone: ['no answer', 'bad'],
};

export function mountHeader() {
  mountWho(document.getElementById('who'));
  mountWhen(document.getElementById('when'));
  const mark = radios(document.getElementById('theme'), [
    {value: 'light', title: 'Light', icon: 'sun'}, {value: 'auto', title: 'As the system', icon: 'auto'}, {value: 'dark', title: 'Dark', icon: 'moon'},
  ], v => globalThis.anoleTheme.set(v));
  mark(globalThis.anoleTheme.get());
  mountBanner(document.getElementById('banner'));
}

function mountWho(el) {
  const node = h('span', {class: 'node'});
  const state = h('span', {class: 'chip quiet state'});
  const uptime = h('span', {class: 'uptime'});
  put(el, node, state, uptime);
  const show = () => {
    const now = agent.state();
    const [word, tone] = STATES[now] ?? [now, 'warn'];
    state.className = `chip state ${tone}`;
    text(state, word);
    const s = agent.status;
    if (!s) return;
    text(node, s.node || 'this node');
    text(uptime, `up ${fmt.duration(s.uptime_seconds)}`);
    document.title = `${s.node || 'node'} · anole`;
  };
  agent.addEventListener('change', show);
  link.addEventListener('change', show);
  show();
}

function mountWhen(el) {
  const spans = h('div', {'aria-label': 'Length'});
  const live = h('button', {type: 'button', class: 'live', onclick: () => timeRange.live ? timeRange.pause() : timeRange.resume()});
  const fixed = h('span', {class: 'fixed'});
  const mark = radios(spans, SPANS.map(([value, label]) => ({value, label, title: `Last ${label}`})), v => timeRange.last(v));
  put(el, fixed, spans, live);
  const show = () => {
    const on = timeRange.live;
    mark(on ? timeRange.span : null);
    live.setAttribute('aria-pressed', String(on));
    live.title = on ? 'Following the clock; press to stop' : 'Stopped; press to follow the clock';
    put(live, icon(on ? 'dot' : 'play'), 'Live');
    text(fixed, on ? '' : `${fmt.moment(timeRange.from * 1000)} – ${fmt.clock(timeRange.to * 1000)}`);
  };
  timeRange.addEventListener('change', show);
  show();
}

function mountBanner(el) {
  const show = () => {
    if (link.up) return put(el);
    put(el, h('div', {class: 'banner'}, icon('warn'), h('p', null,
      h('strong', null, 'The agent does not answer'), ` since ${fmt.clock(link.since)}. What you see is the last it said. `,
      'On the node, ', h('code', null, 'anole status'), ' or ', h('code', null, 'journalctl -u anole'),
      ' say more; this page goes on by itself when the agent is back.')));
  };
  link.addEventListener('change', show);
  show();
}
