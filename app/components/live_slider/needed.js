// Content that only the server can render for a size: while it is on the page, each pick is sent at once.
export default function ({ data }) {
  const picks = (window.picks ??= { open: new Set() });
  picks.open.add(data.part);
  return () => picks.open.delete(data.part);
}
