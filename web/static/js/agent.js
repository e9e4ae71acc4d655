// What the agent last said of itself; the header asks, everyone reads.
import {fetchJSON, link, STATUS} from './api.js';
import {heartbeat} from './clock.js';

class Agent extends EventTarget {
  status = null;

  // start asks every two seconds, also while the agent is gone.
  start() {
    heartbeat.add(async signal => {
      this.status = await fetchJSON(STATUS, {signal});
      this.dispatchEvent(new Event('change'));
    });
  }

  // noHistory says why there is nothing to draw from, or is empty.
  noHistory() {
    const h = this.status?.history;
    if (!h || !['off', 'closed', 'starting'].includes(h.state)) return '';
    return h.state === 'starting' ? 'The metrics history is being opened.' : `No metrics history: ${h.reason || h.detail || 'it is off'}.`;
  }

  // state is the whole agent in one word: the worst of its modules, or its own.
  state() {
    if (!link.up) return 'gone';
    if (!this.status) return 'asking';
    const states = (this.status.modules ?? []).map(m => m.state);
    for (const s of ['failed', 'degraded']) if (states.includes(s)) return s;
    return this.status.state ?? 'running';
  }
}
export const agent = new Agent();
