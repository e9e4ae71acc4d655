// What the requests are: routes, commands and statements, where hints are on.
export function mountRoutes(el, kit) {
  const {h, fmt} = kit;
  const note = h('p', {class: 'note'});
  el.append(h('header', {class: 'card-head'}, h('h3', {id: 'rt-routes'}, 'What they ask for')), note);
  const t = kit.table(el, {
    caption: 'Requests by what they are', rowKey: r => [r.service, r.protocol, r.method, r.route, r.status].join(' '), filter: 'Filter routes', sort: {key: 'all', dir: -1}, limit: 15,
    columns: [
      {key: 'name', label: 'Service', value: r => r.port ? `${r.name}:${r.port}` : 'other'},
      {key: 'role', label: 'Role', value: r => r.role},
      {key: 'what', label: 'Request', value: what, wide: true},
      {key: 'status', label: 'Answer', value: r => r.status ?? ''},
      {key: 'all', label: 'Requests', align: 'end', value: r => r.requests, show: r => fmt.number(r.requests)},
      {key: 'failed', label: 'Failed', align: 'end', value: r => r.failed, show: r => fmt.number(r.failed)},
      {key: 'p50', label: 'p50', align: 'end', value: r => r.p50_seconds, show: r => fmt.seconds(r.p50_seconds)},
      {key: 'p99', label: 'p99', align: 'end', value: r => r.p99_seconds, show: r => fmt.seconds(r.p99_seconds)},
      {key: 'longest', label: 'Longest', align: 'end', value: r => r.longest_seconds, show: r => fmt.seconds(r.longest_seconds)},
    ],
    empty: 'No request yet that told what it is.',
  });
  return answer => {
    el.hidden = answer.l7 === 'off';
    kit.text(note, answer.records === 'all' ? 'All requests since the agent came.' : 'Of the requests that are kept one by one: the slow, the failed and a sample.');
    t.set(answer.routes ?? []);
  };
}

// what says what a request was, '' where nothing told.
export const what = r => [r.protocol && !r.method ? r.protocol : '', r.method, r.route].filter(Boolean).join(' ');
