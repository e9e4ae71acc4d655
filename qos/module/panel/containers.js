// Who tells of containers, what they disagree about, and which labels were not
// followed.
import {section, card, facts} from './section.js';

const NAMES = {nri: 'NRI', cri: 'CRI', events: 'containerd events', tree: 'cgroup tree', run: 'anole qos run'};

export function mountContainers(el, kit) {
  const s = section(el, kit, {title: 'Containers', build});
  let status = null, view = null, missing = '';
  const show = () => {
    if (!status) return;
    if (!view) return s.off(missing || 'not known yet');
    const sources = view.sources ?? [], refused = refusals(status.workloads ?? []);
    if (sources.some(x => x.connected) || view.containers > 0 || refused.length) s.on({view, refused});
    else s.off(`no container runtime is connected (${sources.map(x => `${NAMES[x.name] ?? x.name}: ${short(x)}`).join(', ')})`,
      sources.map(x => x.problem).filter(Boolean).join('\n'));
  };
  kit.onTick(async signal => {
    const modules = kit.agent.status?.modules; // one that is not there is not asked
    if (modules && !modules.some(m => m.name === 'workload')) missing = 'this agent has no workload room';
    else if (modules?.some(m => m.name === 'workload' && m.state === 'stopped')) missing = 'the workload room is not running';
    else if (modules) {
      try {
        view = await kit.fetchJSON('/api/v1/workload/status', {signal});
      } catch (err) {
        if (signal.aborted || err.status === 0) return;
        view = null;
        missing = err.message;
      }
    }
    show();
  });
  return now => {
    status = now;
    show();
  };
}

// short says in a word why a source is not connected.
const short = s => !s.wanted ? 'off' : s.reason === 'no_peer' ? 'no socket' : s.reason ? s.reason.replaceAll('_', ' ') : s.problem || 'not yet';

// refusals lists what was not followed, with whose it is.
const refusals = workloads => workloads.flatMap(w => (w.refused ?? []).map(r => ({...r, id: w.id, of: w.pod || w.name || w.id, from: w.labels_from?.[r.key] ?? w.source})));

function build(grid, kit) {
  const {h, fmt} = kit;
  const sums = facts(kit);
  const quiet = s => h('span', {class: 'quiet-text'}, s);
  const box = card(kit, 'qos-containers', 'Containers', 'Who tells of pods and containers. Where two say different things, the first is believed.', sums.el);
  const not = h('div', {class: 'qos-more', hidden: true}, h('h4', null, 'Not followed'));
  grid.append(box);
  const sources = kit.table(box, {
    caption: 'Sources of containers', rowKey: s => s.name,
    columns: [
      {key: 'name', label: 'Source', sort: false, value: s => s.name, show: s => h('strong', null, NAMES[s.name] ?? s.name)},
      {key: 'state', label: 'Connected', sort: false, value: s => `${s.connected} ${s.wanted}`,
        show: s => s.connected ? kit.chip('yes', 'ok') : s.wanted ? kit.chip('no', s.connects ? 'bad' : 'quiet') : kit.chip('off')},
      {key: 'containers', label: 'Containers', sort: false, align: 'end', value: s => s.containers},
      {key: 'last', label: 'Last word', sort: false, value: s => s.last_event ? fmt.moment(s.last_event) : 'never'},
      {key: 'overruled', label: 'Overruled', sort: false, align: 'end', title: 'How often a more trusted source was believed instead', value: s => s.disagreements},
      {key: 'how', label: 'How, or why not', sort: false, wide: true, value: s => s.connected ? s.detail : s.problem, show: s => quiet((s.connected ? s.detail : s.problem) ?? '')},
    ],
  });
  box.append(not);
  const labels = kit.table(not, {
    caption: 'Labels not followed', rowKey: r => r.row, limit: 8,
    columns: [
      {key: 'of', label: 'Workload', sort: false, value: r => r.of},
      {key: 'what', label: 'Said', sort: false, wide: true, value: r => r.what, show: r => kit.code(r.what)},
      {key: 'by', label: 'By', sort: false, value: r => r.by},
      {key: 'why', label: 'Why not', sort: false, wide: true, value: r => r.text, show: r => quiet(r.text)},
    ],
  });
  return ({view, refused}) => {
    sums.set([['containers', String(view.containers)], ['disagreements', String(view.disagreements)], ['labels not followed', String(refused.length)],
      ...view.lost_records ? [['without room', String(view.lost_records)]] : [], ...view.late_starts ? [['started unseen', String(view.late_starts)]] : []]);
    sources.set([...view.sources ?? []]);
    const rows = [
      ...(view.conflicts ?? []).map((c, i) => ({row: `c${i}`, of: c.pod || c.id, what: `${c.field}: ${c.refused}`, by: NAMES[c.opposing] ?? c.opposing, text: `${NAMES[c.from] ?? c.from} says ${c.taken} and is believed`})),
      ...refused.map((r, i) => ({row: `r${r.id} ${r.key} ${i}`, of: r.of, what: `${r.key}=${r.value}`, by: NAMES[r.from] ?? r.from, text: r.text})),
    ];
    not.hidden = rows.length === 0;
    labels.set(rows);
  };
}
