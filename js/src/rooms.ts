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
  members?: RoomMember[] | undefined;
}

interface Told extends Room {
  joined?: RoomMember[];
  updated?: RoomMember[];
  left?: string[];
}

/** The room as it is now. */
export function listed(before: Room | undefined, { room, count, members, joined, updated, left }: Told): Room {
  members ??= (joined ?? updated ?? left) && (before?.members ?? []);
  return {
    room,
    count,
    members: members && [...new Map(members.concat(joined ?? [], updated ?? []).map((member) => [member.user_id, member])).values()]
      .filter(({ user_id }) => !left?.includes(user_id))
      .sort((a, b) => a.since - b.since),
  };
}
