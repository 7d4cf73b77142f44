// The OpenAPI description as a page, without anything from elsewhere.

const description = await (await fetch("/openapi.json")).json();
const add = (parent, tag, text = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
};
const resolve = (schema) => schema?.$ref
  ? description.components.schemas[schema.$ref.split("/").pop()] : schema;
const kind = (schema) => schema.$ref?.split("/").pop() || schema.anyOf?.map(kind).join(" or ")
  || (schema.type === "array" && schema.items ? `list of ${kind(schema.items)}`
    : schema.contentMediaType || schema.format === "binary" ? "file" : schema.type || "anything");

function fields(section, title, properties, required = []) {
  if (!properties.length) return;
  add(section, "h3", title);
  const list = add(section, "dl");
  for (const [name, schema] of properties) {
    const term = add(list, "dt");
    add(term, "code", name);
    term.append(` ${kind(schema)}${required.includes(name) ? ", required" : ""}`);
    add(list, "dd", schema.description || "");
  }
}

document.querySelector("header p").textContent = description.info.description;
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, route] of Object.entries(methods)) {
    const section = add(document.getElementById("routes"), "section");
    add(section, "h2", `${method.toUpperCase()} ${path}`);
    add(section, "p", route.description);
    fields(section, "Parameters", (route.parameters || []).map((each) => (
      [each.name, { description: each.description, ...each.schema }])));
    for (const [type, { schema }] of Object.entries(route.requestBody?.content || {})) {
      const body = resolve(schema);
      fields(section, `Form, ${type}`, Object.entries(body.properties || {}), body.required);
    }
    const answer = resolve(Object.entries(route.responses).find(([status]) => status < "3")?.[1]
      .content?.["application/json"]?.schema);
    fields(section, "Answer", Object.entries(answer?.properties || {}), []);
  }
}
const problems = add(document.getElementById("routes"), "section");
add(problems, "h2", "Problems");
add(problems, "p", "Errors are application/problem+json (RFC 9457); `detail` is a sentence.");
for (const [name, schema] of Object.entries(description.components.schemas)) {
  if (schema.properties && !name.startsWith("Body_")) {
    const section = add(document.getElementById("routes"), "section");
    add(section, "h2", name);
    fields(section, schema.description || "", Object.entries(schema.properties), schema.required);
  }
}
