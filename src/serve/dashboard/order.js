// The order of rows by several columns.

import { compare } from "./format.js";

/** A comparison of rows by `order`, [{column, descending}]; empty values last either way, as the engine has them. */
export function compareRows(order, columns) {
  const types = new Map(columns.map((column) => [column.name, column.type]));
  const keys = order.map(({ column, descending }) => ({ column, sign: descending ? -1 : 1, type: types.get(column) }));
  return (a, b) => {
    for (const { column, sign, type } of keys) {
      const [left, right] = [a[column], b[column]];
      const empty = Number(left === null) - Number(right === null);
      if (empty) return empty;
      const difference = compare(left, right, type);
      if (difference) return difference * sign;
    }
    return 0;
  };
}
