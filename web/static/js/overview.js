// Overview: the node's CPU, the modules, and what this node can do and why not.

const STATE_TONE = {running: 'ok', degraded: 'warn', failed: 'bad', unsupported: 'quiet', stopped: 'quiet'};
const ANSWER_TONE = {yes: 'ok', no: 'quiet', 'could not tell': 'warn'};
const REASONS = {
  no_kernel: 'the kernel lacks it', no_hardware: 'the machine lacks it', no_privilege: 'no permission',
  no_peer: 'a program is missing', not_built: 'not in this binary', conflict: 'something else holds it',
};

export function mount(el, kit) {
  const {h} = kit;
  const problems = h('section', {class: 'card problems', role: 'status', hidden: true});
  const tiles = h('div', {class: 'tiles'});
  const charts = h('div', {class: 'grid pair'});
  const modules = h('section', {class: 'card'}, h('header', {class: 'card-head'}, h('h3', null, 'Modules')));
  const features = h('section', {class: 'card span'}, h('header', {class: 'card-head'}, h('h3', null, 'What this node can do')),
    h('p', {class: 'note'}, 'The same answers as ', kit.code('anole doctor'), ': yes, no and because of what, or could not tell.'));
  kit.put(el, h('h2', {class: 'sr'}, 'Overview'), problems, tiles, charts);
  mountProblems(problems, kit);
  mountTiles(tiles, kit);
  mountCPU(charts, kit);
  charts.append(modules, features);
  mountModules(modules, kit);
  mountFeatures(features, kit);
}

// mountProblems lists what the agent itself finds amiss.
function mountProblems(el, kit) {
  const show = () => {
    const all = kit.agent.status?.problems ?? [];
    el.hidden = all.length === 0;
    kit.put(el, kit.icon('warn'), kit.h('ul', null, all.map(p => kit.h('li', null, p))));
  };
  kit.listen(kit.agent, 'change', show);
  show();
}

function mountTiles(el, kit) {
  const {fmt, agent} = kit;
  const version = kit.tile(el, {label: 'Agent'});
  const modules = kit.tile(el, {label: 'Modules'});
  const config = kit.tile(el, {label: 'Configuration'});
  const history = kit.tile(el, {label: 'History'});
  const show = () => {
    const s = agent.status;
    if (!s) return;
    version.set(s.version || 'devel', `pid ${s.pid} · since ${fmt.moment(Date.parse(s.started))}`);
    const all = s.modules ?? [], running = all.filter(m => m.state === 'running').length;
    const worst = kit.agent.state();
    modules.set(`${running} of ${all.length}`, 'running', {tone: worst === 'failed' ? 'bad' : worst === 'degraded' ? 'warn' : ''});
    const c = s.config ?? {};
    config.set(`generation ${c.generation ?? fmt.NONE}`,
      c.error ? `the last reload was refused: ${c.error}`
        : [c.file || 'built-in defaults', reload(c, fmt), c.restart_for?.length ? `restart for ${c.restart_for.join(', ')}` : ''].filter(Boolean).join(' · '), {tone: c.error ? 'bad' : ''});
    const hist = s.history ?? {};
    const good = ['ok', 'ready'].includes(hist.state);
    history.set(good && hist.bytes ? fmt.bytes(hist.bytes) : hist.state ?? fmt.NONE,
      [hist.reason ?? hist.detail, hist.note, good && hist.retention ? `keeps ${retention(hist.retention, fmt)}` : ''].filter(Boolean).join(' · '),
      {tone: good ? '' : hist.state === 'off' ? 'bad' : 'warn'});
  };
  kit.listen(agent, 'change', show);
  show();
}

const reload = (c, fmt) => {
  const at = Date.parse(c.last_reload ?? c.loaded ?? '');
  return Number.isFinite(at) && at > 0 ? `read ${fmt.moment(at)}` : '';
};
const retention = (r, fmt) => typeof r === 'number' ? fmt.duration(r) : String(r).replace(/(\d+[hm])0m0s$|0s$/, '$1').replace(/h0m$/, 'h');

function mountCPU(el, kit) {
  kit.chart(el, {
    title: 'CPU of the node', unit: 'cores',
    note: 'Cores in use against what there is; stolen is what the hypervisor gave to others.',
    empty: 'No data yet: the QoS module measures this every 5 s.',
    queries: [
      {expr: 'anole_qos_node_cpu_used_cores', name: 'used', colour: 'accent', fill: true, width: 2},
      {expr: 'anole_qos_node_cpu_steal_cores', name: 'stolen', colour: 'bad'},
      {expr: 'anole_qos_node_cpu_capacity_cores', name: 'capacity', colour: 'muted', dash: [6, 4]},
    ],
  });
}

function mountModules(el, kit) {
  const t = kit.table(el, {
    caption: 'Modules of the agent', rowKey: m => m.name,
    columns: [
      {key: 'name', label: 'Module', value: m => m.name, show: m => kit.h('strong', null, m.name)},
      {key: 'state', label: 'State', value: m => m.state, show: m => kit.chip(m.state, STATE_TONE[m.state])},
      {key: 'summary', label: 'Says', value: m => m.summary, wide: true, sort: false},
    ],
    empty: 'No module is built into this agent.',
  });
  const show = () => kit.agent.status && t.set(kit.agent.status.modules ?? []);
  kit.listen(kit.agent, 'change', show);
  show();
}

function mountFeatures(el, kit) {
  const {h} = kit;
  let all = [], answer = 'all';
  const pick = h('div', {'aria-label': 'Answer'});
  const mark = kit.radios(pick, ['all', 'yes', 'no', 'could not tell'].map(v => ({value: v, label: v})), v => {
    answer = v;
    draw();
  });
  mark(answer);
  const t = kit.table(el, {
    caption: 'Features of this node', rowKey: f => `${f.room}/${f.feature}`, filter: 'Filter features', tools: pick,
    columns: [
      {key: 'feature', label: 'Feature', value: f => f.feature, show: f => h('strong', null, f.feature)},
      {key: 'room', label: 'Room', value: f => f.room},
      {key: 'answer', label: 'Answer', value: f => f.answer, show: f => kit.chip(f.answer, ANSWER_TONE[f.answer])},
      {key: 'why', label: 'Because', value: f => because(f), wide: true},
      {key: 'need', label: 'Needs, and how to get it', value: f => [f.need, f.fix].join('\n'), wide: true, sort: false,
        show: f => [f.need ? h('div', null, f.need) : null, f.fix ? h('div', {class: 'fix'}, f.fix) : null]},
      {key: 'doc', label: 'What it is for', value: f => f.doc, wide: true, sort: false, show: f => h('span', {class: 'quiet-text'}, f.doc)},
    ],
    empty: 'No module asked anything of this node.',
  });
  const draw = () => t.set(all.filter(f => answer === 'all' || f.answer === answer));
  // Probes ask once in the agent's life, so one look is enough; a look that
  // failed is repeated with the ticks.
  let done = false;
  kit.onTick(async signal => {
    if (done) return;
    all = (await kit.fetchJSON('/api/v1/features', {signal})).features ?? [];
    done = true;
    draw();
  });
}

const because = f => [REASONS[f.reason] ?? f.reason, f.detail].filter(Boolean).join(': ');
