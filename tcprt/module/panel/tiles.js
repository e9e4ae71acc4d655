// The figures at the top.
export function mountTiles(el, kit) {
  const {fmt} = kit;
  const rate = kit.tile(el, {label: 'Requests', unit: 'per s', title: 'Answered by servers on this node'});
  const failed = kit.tile(el, {label: 'Failed', title: 'Share that was not answered whole'});
  const worst = kit.tile(el, {label: 'Worst p99', title: 'The slowest service of those with ten requests and more'});
  const waiting = kit.tile(el, {label: 'Under way', title: 'Requests that are not answered yet, and the oldest of them'});
  const resent = kit.tile(el, {label: 'Sent again', unit: 'per s', title: 'Segments, on either side'});
  const cost = kit.tile(el, {label: 'Costs', title: 'What the measurement takes, of one CPU'});
  return status => {
    const all = status.by_service ?? [], servers = all.filter(s => s.role === 'server');
    const sum = (list, f) => list.reduce((n, s) => n + (f(s) || 0), 0);
    const total = sum(servers, s => s.rate);
    rate.set(fmt.number(Math.round(total)), `${servers.length} ${servers.length === 1 ? 'service' : 'services'}, ${all.length - servers.length} asked`, {});
    const bad = total > 0 ? sum(servers, s => s.rate * s.failed) / total : null;
    failed.set(fmt.percent(bad), total > 0 ? 'of what servers here were asked' : 'nothing was asked', {tone: bad > 0.01 ? 'warn' : ''});
    const slow = all.filter(s => s.rate * 10 >= 10).sort((a, b) => b.p99_seconds - a.p99_seconds)[0];
    worst.set(fmt.seconds(slow?.p99_seconds ?? null), slow ? `${slow.name}:${slow.port}, ${slow.role}` : 'no service is busy', {});
    const oldest = Math.max(0, ...all.map(s => s.inflight_oldest_seconds || 0));
    waiting.set(fmt.number(sum(servers, s => s.inflight)), oldest > 0 ? `oldest ${fmt.seconds(oldest)}` : 'none waits', {tone: oldest > 10 ? 'warn' : ''});
    const again = sum(all, s => s.retransmits_per_second);
    resent.set(fmt.number(Math.round(again * 10) / 10), 'segments lost on the way', {tone: again > 100 ? 'warn' : ''});
    cost.set(fmt.percent(status.cpu), `tier ${status.tier}, ${status.level}`, {part: status.cpu, tone: status.one_connection_of > 1 ? 'warn' : ''});
  };
}
