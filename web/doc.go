// Package web is anole's console: a shell of plain ES modules with one vendored
// chart library, all embedded in the binary. There is no build step, and a page
// never asks another host for anything.
//
// The shell brings the header, the tabs, the time range, the theme and two
// panels of its own, Overview and Explore. Every other panel belongs to a room
// and is loaded at run time from /panels/<id>/panel.js, a module that exports
//
//	export function mount(element, kit) → unmount
//
// The kit gives a panel everything it may lean on: requests to the agent,
// PromQL queries, charts, sortable tables, number formats and the shared clock.
// static/js/kit.js is its reference.
//
// Pages draw only from the agent's HTTP API at the same origin, below /api/.
package web
