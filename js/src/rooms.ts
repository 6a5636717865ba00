// Who is in a room. The server tells it once, and then what changes; pages get the whole of it each time.

/** Who is in a room, as the server says it. */
export interface RoomMember<State = any> {
  user_id: string;
  /** What the application says of the user. */
  state: State;
  /** Since when, in seconds since 1970. */
  since: number;
}

export interface Room {
  room: string;
  count: number;
  /** Left out if they are too many to be named. */
  members?: RoomMember[];
}

interface Told extends Room {
  joined?: RoomMember[];
  updated?: RoomMember[];
  left?: string[];
}

/** The room as it is now. */
export function listed(before: Room | undefined, { room, count, members, joined, updated, left }: Told): Room {
  if (!members && !joined && !updated && !left) return { room, count };
  const all = new Map((members ?? before?.members ?? []).map((member) => [member.user_id, member]));
  for (const member of [...(joined ?? []), ...(updated ?? [])]) all.set(member.user_id, member);
  for (const id of left ?? []) all.delete(id);
  return { room, count, members: [...all.values()] };
}
