// The requests panel: which services there are and how long each part of their
// requests takes, what is amiss and why, the slowest requests, and who waits.
import {mountTiles} from './tiles.js';
import {mountAnomalies} from './anomalies.js';
import {mountServices} from './services.js';
import {mountService} from './service.js';
import {mountRequests} from './requests.js';
import {mountRoutes} from './routes.js';

export async function mount(el, kit) {
  const {h} = kit;
  await kit.css(new URL('panel.css', import.meta.url).pathname);
  const trouble = h('div', {class: 'card rt-trouble', role: 'status', hidden: true});
  const tiles = h('div', {class: 'tiles'});
  const anomalies = h('section', {class: 'card', 'aria-labelledby': 'rt-amiss'});
  const services = h('section', {class: 'card', 'aria-labelledby': 'rt-services'});
  const one = h('section', {class: 'card', 'aria-labelledby': 'rt-one', hidden: true});
  const routes = h('section', {class: 'card', 'aria-labelledby': 'rt-routes', hidden: true});
  const requests = h('div', {class: 'grid'});
  kit.put(el, h('h2', {class: 'sr'}, 'Requests'), trouble, tiles, anomalies, services, one, routes, requests);

  const showTiles = mountTiles(tiles, kit);
  const showAnomalies = mountAnomalies(anomalies, kit, id => pick(id));
  const detail = mountService(one, kit, () => pick(''));
  const showRoutes = mountRoutes(routes, kit);
  const lists = mountRequests(requests, kit);
  const pick = id => {
    chosen = id;
    detail.pick(id);
    lists.pick(id);
  };
  let chosen = '';
  const showServices = mountServices(services, kit, id => pick(id === chosen ? '' : id));
  kit.onTick(async signal => {
    try {
      const status = await kit.fetchJSON('/api/v1/tcprt/status', {signal});
      const found = await kit.fetchJSON('/api/v1/tcprt/anomalies', {signal});
      trouble.hidden = true;
      showTiles(status);
      showAnomalies(found.anomalies ?? []);
      showServices(status.by_service ?? []);
      detail.show(status.by_service ?? []);
      showRoutes(await kit.fetchJSON('/api/v1/tcprt/routes', {signal}));
      await lists.tick(signal);
    } catch (err) {
      if (signal.aborted || err.status === 0) return; // the shell's banner says it
      if (err.status === undefined) throw err;
      trouble.hidden = false;
      kit.put(trouble, h('strong', null, 'Requests are not timed'), ` (${err.message}). `,
        kit.code('anole status'), ' and ', kit.code('anole doctor'), ' say why.');
    }
  });
}
