// A part of the page that only the server can say of a size: while it is there, each pick is told at once.
export default function ({ data }) {
  const picks = (window.picks ??= { open: new Set() });
  picks.open.add(data.part);
  return () => picks.open.delete(data.part);
}
