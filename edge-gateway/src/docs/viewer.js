// Shows an OpenAPI document: operations by area, what goes in, what comes out, and a form to try each one.

const main = document.getElementById('main');
const filter = document.getElementById('filter');
const token = document.getElementById('token');

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

function resolve(spec, schema) {
  let seen = 0;
  while (schema?.$ref && seen++ < 20) schema = spec.components.schemas[schema.$ref.split('/').pop()];
  return schema ?? {};
}

function typeOf(schema) {
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const type = [].concat(schema.type ?? (schema.properties ? 'object' : 'any')).join(' or ');
  return schema.format ? `${type} (${schema.format})` : type;
}

// An example value, deep enough to read and shallow enough to end.
function example(spec, schema, depth = 0) {
  schema = resolve(spec, schema);
  if (schema.example !== undefined) return schema.example;
  if (schema.enum) return schema.enum[0];
  const variants = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (variants) return example(spec, variants.find((v) => v.type !== 'null') ?? variants[0], depth + 1);
  const type = [].concat(schema.type ?? (schema.properties ? 'object' : 'null')).find((t) => t !== 'null');
  if (depth > 6) return null;
  switch (type) {
    case 'object': {
      const entries = Object.entries(schema.properties ?? {});
      return Object.fromEntries(entries.map(([name, value]) => [name, example(spec, value, depth + 1)]));
    }
    case 'array': return [example(spec, schema.items ?? {}, depth + 1)];
    case 'integer': return schema.minimum ?? 0;
    case 'number': return schema.minimum ?? 0.5;
    case 'boolean': return true;
    case 'string': return schema.format === 'uuid' ? '00000000-0000-7000-8000-000000000000' : 'text';
    default: return null;
  }
}

function limits(schema) {
  const words = [];
  if (schema.minLength !== undefined) words.push(`at least ${schema.minLength} characters`);
  if (schema.maxLength !== undefined) words.push(`at most ${schema.maxLength} characters`);
  if (schema.minimum !== undefined) words.push(`≥ ${schema.minimum}`);
  if (schema.maximum !== undefined) words.push(`≤ ${schema.maximum}`);
  if (schema.pattern) words.push(schema.pattern);
  return words.join(', ');
}

function fields(spec, schema) {
  schema = resolve(spec, schema);
  if (schema.type === 'array') return fields(spec, schema.items);
  const rows = Object.entries(schema.properties ?? {}).map(([name, value]) => {
    const field = resolve(spec, value);
    return element('tr', {},
      element('td', {}, element('code', {}, name), schema.required?.includes(name) ? ' *' : ''),
      element('td', {}, typeOf(field)),
      element('td', { class: 'soft' }, [field.description, limits(field)].filter(Boolean).join('; ')));
  });
  return element('table', {}, ...rows);
}

function parametersTable(spec, operation) {
  const rows = (operation.parameters ?? []).map((parameter) => {
    const schema = resolve(spec, parameter.schema);
    return element('tr', {},
      element('td', {}, element('code', {}, parameter.name), parameter.required ? ' *' : ''),
      element('td', {}, `${parameter.in}: ${typeOf(schema)}`),
      element('td', { class: 'soft' }, [parameter.description ?? schema.description, limits(schema)].filter(Boolean).join('; ')));
  });
  return rows.length ? element('table', {}, ...rows) : undefined;
}

function answers(spec, operation) {
  return Object.entries(operation.responses).flatMap(([status, answer]) => {
    const schema = answer.content?.['application/json']?.schema;
    const head = element('p', {}, element('strong', {}, status), ' ', element('span', { class: 'soft' }, answer.description));
    if (!schema) return [head];
    const body = element('pre', {}, JSON.stringify(example(spec, schema), null, 2));
    return [head, status === 'default' ? undefined : fields(spec, schema), status === 'default' ? undefined : body];
  });
}

function tryIt(spec, path, method, operation) {
  const base = spec.servers?.[0]?.url.replace(/\/$/, '') ?? '';
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const input = element('input', { name: parameter.name, 'data-in': parameter.in, required: parameter.required && '' });
    return element('label', {}, parameter.name, input);
  });
  const content = operation.requestBody?.content ?? {};
  const multipart = content['multipart/form-data'];
  const json = content['application/json'];
  let text;
  if (json) {
    text = element('textarea', { spellcheck: 'false', 'aria-label': 'Body' });
    text.value = JSON.stringify(example(spec, json.schema), null, 2);
    inputs.push(text);
  } else if (multipart) {
    for (const [name, value] of Object.entries(resolve(spec, multipart.schema).properties ?? {})) {
      const type = value.format === 'binary' ? 'file' : value.format === 'password' ? 'password' : 'text';
      inputs.push(element('label', {}, name, element('input', { name, type, 'data-in': 'form' })));
    }
  }
  const output = element('pre', { hidden: '' });
  const send = async (event) => {
    event.preventDefault();
    let url = base + path;
    const query = new URLSearchParams();
    const form = new FormData();
    for (const input of event.target.querySelectorAll('input')) {
      const place = input.dataset.in;
      if (place === 'path') url = url.replace(`{${input.name}}`, encodeURIComponent(input.value));
      else if (place === 'query' && input.value) query.set(input.name, input.value);
      else if (place === 'form' && input.type === 'file' && input.files[0]) form.set(input.name, input.files[0]);
      else if (place === 'form' && input.type !== 'file' && input.value) form.set(input.name, input.value);
    }
    if ([...query].length) url += `?${query}`;
    const headers = {};
    if (token.value) headers.Authorization = `Bearer ${token.value}`;
    if (text) headers['Content-Type'] = 'application/json';
    output.hidden = false;
    output.textContent = '…';
    try {
      const body = text ? text.value : multipart ? form : undefined;
      const started = performance.now();
      const response = await fetch(url, { method: method.toUpperCase(), headers, body });
      const took = Math.round(performance.now() - started);
      let shown = await response.text();
      try { shown = JSON.stringify(JSON.parse(shown), null, 2); } catch { /* not JSON: shown as it is */ }
      output.textContent = `${response.status} ${response.statusText} · ${took} ms\n\n${shown}`;
    } catch (error) {
      output.textContent = String(error);
    }
  };
  return element('form', { onsubmit: send }, ...inputs, element('div', {}, element('button', {}, 'Send')), output);
}

function operationView(spec, path, method, operation) {
  const words = `${method} ${path} ${operation.summary ?? ''} ${operation.tags?.join(' ') ?? ''}`.toLowerCase();
  const lock = operation.security?.length ? (operation.security.length > 1 ? 'token optional' : 'token') : '';
  const view = element('details', { 'data-words': words },
    element('summary', {},
      element('span', { class: `method ${method}` }, method.toUpperCase()),
      element('code', {}, path),
      element('span', { class: 'soft' }, operation.summary ?? ''),
      element('span', { class: 'soft' }, lock)));
  // Most are never opened, so their insides are built when they are.
  view.addEventListener('toggle', () => {
    if (view.children.length > 1) return;
    const body = operation.requestBody?.content;
    const first = body && Object.keys(body)[0];
    view.append(element('div', { class: 'body' },
      operation.description && element('p', { class: 'soft' }, operation.description),
      parametersTable(spec, operation),
      body && element('p', {}, element('strong', {}, 'Body'), ' ', element('span', { class: 'soft' }, Object.keys(body).join(', '))),
      body && fields(spec, body[first].schema),
      ...answers(spec, operation),
      tryIt(spec, path, method, operation)));
  });
  return view;
}

function apply() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const view of main.querySelectorAll('details')) {
    view.hidden = !words.every((word) => view.dataset.words.includes(word));
  }
}

async function show() {
  const name = location.hash === '#conectar' ? 'conectar' : 'agrovet';
  for (const link of document.querySelectorAll('nav a')) link.classList.toggle('here', link.hash === `#${name}`);
  try {
    const spec = await (await fetch(`/openapi/${name}.json`)).json();
    const areas = new Map();
    for (const [path, item] of Object.entries(spec.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        const area = operation.tags?.[0] ?? '';
        if (!areas.has(area)) areas.set(area, []);
        areas.get(area).push(operationView(spec, path, method, operation));
      }
    }
    main.replaceChildren(
      element('p', { class: 'soft' }, spec.info.description, ' ',
        element('a', { href: `/openapi/${name}.json` }, `openapi/${name}.json`)),
      ...[...areas].flatMap(([area, views]) => [element('h2', {}, area), ...views]));
    apply();
  } catch (error) {
    main.textContent = `The document could not be loaded: ${error}`;
  }
}

filter.addEventListener('input', apply);
addEventListener('hashchange', show);
show();
