// The QoS panel: who runs in which class, what each class is given and takes of
// CPU, memory, disks and network, what they wait for, and what the controller
// wrote and why.
import {mountTiles} from './tiles.js';
import {mountCharts} from './charts.js';
import {mountWorkloads} from './workloads.js';
import {mountMemory} from './memory.js';
import {mountDisks} from './disks.js';
import {mountNetwork} from './network.js';
import {mountContainers} from './containers.js';
import {mountDecisions} from './decisions.js';
import {mountMechanisms} from './mechanisms.js';

export async function mount(el, kit) {
  const {h} = kit;
  await kit.css(new URL('panel.css', import.meta.url).pathname);
  const trouble = h('div', {class: 'card qos-trouble', role: 'status', hidden: true});
  const tiles = h('div', {class: 'tiles qos-tiles'});
  const charts = h('div', {class: 'grid'});
  const workloads = h('section', {class: 'card', 'aria-labelledby': 'qos-who'});
  const resources = h('div', {class: 'qos-resources'});
  const decisions = h('section', {class: 'card', 'aria-labelledby': 'qos-wrote'});
  const mechanisms = h('div', {class: 'grid pair'});
  kit.put(el, h('h2', {class: 'sr'}, 'QoS'), trouble, tiles, charts, workloads, resources, decisions, mechanisms);

  const parts = [
    mountTiles(tiles, kit), mountWorkloads(workloads, kit),
    mountMemory(resources, kit), mountDisks(resources, kit), mountNetwork(resources, kit), mountContainers(resources, kit),
    mountDecisions(decisions, kit), mountMechanisms(mechanisms, kit),
  ];
  mountCharts(charts, kit);
  kit.onTick(async signal => {
    try {
      const status = await kit.fetchJSON('/api/v1/qos/status', {signal});
      trouble.hidden = true;
      for (const show of parts) show(status);
    } catch (err) {
      if (signal.aborted || err.status === 0) return; // the shell's banner says it
      if (err.status === undefined) throw err;
      trouble.hidden = false;
      kit.put(trouble, h('strong', null, 'The QoS room does not answer'), ` (${err.message}). `,
        kit.code('anole status'), ' and ', kit.code('anole doctor'), ' say what it lacks.');
    }
  });
}
