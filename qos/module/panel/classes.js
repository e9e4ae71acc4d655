// The classes, from the bottom of a stack to its top, and how to name them.
export const CLASSES = ['SYSTEM', 'LSE', 'LSR', 'LS', 'NONE', 'BE'];

export const CLASS_NAMES = {
  LSE: 'latency-sensitive, exclusive CPUs', LSR: 'latency-sensitive, reserved CPUs', LS: 'latency-sensitive',
  NONE: 'not classed', BE: 'best effort', SYSTEM: 'the system itself',
};

export const order = labels => {
  const i = CLASSES.indexOf(labels.class);
  return i < 0 ? CLASSES.length : i;
};
export const colour = labels => CLASSES.includes(labels.class) ? `class-${labels.class}` : 'series-8';
export const isLS = c => c === 'LS' || c === 'LSR' || c === 'LSE';

export const chip = (kit, c, name = c) => {
  const el = kit.chip(name, CLASSES.includes(c) ? c : 'quiet');
  el.title = CLASS_NAMES[c] ?? '';
  return el;
};

export const basename = path => String(path ?? '').split('/').at(-1);

// micros gives microseconds in a person's unit.
export const micros = (kit, us) => us == null ? kit.fmt.NONE : kit.fmt.seconds(us / 1e6);
