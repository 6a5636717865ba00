"""Inputs by hand, for each target: what an attacker would try first. And words that inputs are made of."""

from __future__ import annotations

import json
import struct
from hashlib import md5

_MARK = b'{"datastar":true,"datastar":"datastar-patch-elements","lines":'

# Steps of the target `broker`: its numbers stand for those in its tables.
_BEGIN = b"\1"
_NEXT, _AGAIN, _HOLE, _BACK = (bytes([jump, 0, 0, 0]) for jump in (0, 5, 6, 8))
_MESSAGE = b'[1,"a.b","s",null]\n{"a":1}'
_MARKED = b'[1,"a.b",null,"k","key","content",1.0]\n1'


def _opened(*, epoch: int = 0, oldest: int = 0, count: int = 0) -> bytes:
    return bytes([0, oldest, epoch, count])


def _taken(*entries: bytes) -> bytes:
    return bytes([3, len(entries) if len(entries) < 8 else 8]) + b"".join(entries)


def _log(steps: bytes, *bodies: bytes) -> bytes:
    return b"\xfe".join([steps, *bodies])


SEEDS: dict[str, list[bytes]] = {
    "frame": [
        b"",
        b'\0one-7\xfetodo.created\xfe{"a":1}',
        b"\0one-7\xfetodo.created\xfex\n\nevent: admin\ndata: y\n\n",
        b"\0one-7\xfea\xfex\r\rid: 9-9\rretry: 1\r\r\n\n\r\n",
        b"\0one-7\nevent: x\xfea\0b\xfe\0",
        b"\x03\xfe\xfe\xef\xbb\xbf\xff\xe2\x80\xa8\x0b\xc2\x85",
        b"\0 one-7\xfe a\xfe :",
        b'\0one-9999999999999999999\xfea\xfe"a\\n\\nid: x\\u2028"',
        b"\0one-7\xfea\xfe" + _MARK + b'["elements <b>\\n\\nevent: x\\n</b>",1,null,{"a":"\\r"},"\\ud83d\\ude00"]}',
        b"\0one-7\xfea\xfe" + _MARK + b'"no list"}',
        b"\0one-7\xfea\xfe" + _MARK + b"[1e999]}",
    ],
    "topics": [
        b"\0todo.*\xfetodo.created\xfetodo.created",
        b"\0*\xfe*.*\xfea.b",
        b"\0a*a\xfea*a*a\xfeaaa",
        b"\0a*b*c\xfea*b*b*c\xfea.b.b.c",
        b"\0ANY\xfenitro.dismissal\xfenitro*",
        b"\0a*\xc3\xa9\xfea*\n\xfea*\xed\xa0\x80",
        b"\0" + b"a*" * 127 + b"\xfe" + b"a" * 255 + b"\xfe" + b"a" * 255,
        b"\0" + b"*a" * 127 + b"b\xfe" + b"*a" * 127 + b"\xfe" + b"a" * 255,
        b"\0" + b"a" * 256 + b"\xfea..b\xfe.a",
        b"\0a\n\xfea\0\xfe\xd9\xa1*\xc3\xa9",
        b"\1\0\1\2\3\1\xfe\0\1\0\2\1\xfe\0\0\2\3\4\5",
    ],
    "payload": [
        b"\0\x0d\3\1a\3\1\2bc\0\0",
        b"\0\x0b\2\6" + struct.pack("<d", 1e300) + b"\6" + struct.pack("<d", 5e-324),
        b"\0\6" + struct.pack("<d", float("nan")),
        b"\0\x0b\1\6" + struct.pack("<d", float("-inf")),
        b"\0\5\1\xff",
        b"\0\5\1\xd7",
        b"\0\7\3\xed\xa0\x80",
        b"\0\7\3NaN",
        b"\0\x10\0\xc7",
        b"\0\x10\0\xc8",
        b"\0\x10\0\xc9",
        b"\0\x10\0\xfe",
        b"\0\x10\0\xff",
        b"\0\x10\x10\0\xff\xff",
        b"\0\x11\0",
        b"\0\x0f\2\1\4\7\3\1\0\0",
        b"\1\7\5abcde",
        b"\0\x0a\x20" + b'{"a":1,"a":[2.50,1e3,"\\u0000"]}  ',
        b"\0\x09\2\xff\xfe",
    ],
    "ticket": [
        b"\0",
        b"\0WyJhIl0.aBcDeF.x",
        b"\0.eJw.aBcDeF.x",
        b"\0" + b"." * 5000,
        b"\1\xff\xed\xa0\x80.\xff.\xff",
        b"\2\0\1\0\0",
        b"\2\0\1\0\x2b\1\0\1",
        b"\2\0\0\0\0\1\x20\1",
        b"\2\2\2\1\0\0",
        b'\3[{"a.*":null},{},"7",null]',
        b'\3[{"a.*":null},{},"7",1' + b"0" * 400 + b"]",
        b'\3[{"a.*":[null]},{"":null},7,"soon"]',
        b'\3[["a"],null,{},true]',
        b'\3{"a":1,"b":2,"c":3,"d":4}',
        b"\3" + json.dumps([{"a": None}, {}, None, float("inf")]).encode(),
        b"\3" + json.dumps([{md5(bytes([n])).hexdigest(): None for n in range(200)}, {}, None, None]).encode(),
    ],
    "publish": [
        b'\0\xfe{"topic":"todo.a","sender":"s1","result":1}',
        b'\1\xfe{"topic":"open.a","sender":"s2","result":{"a":[1.5,null]}}',
        b'\x18k\xfe{"topic":"todo.a","sender":"s1","result":"twice"}',
        b'\x18"k"\xfe{"topic":"todo.a","sender":"s1","result":1e3}',
        b'\x08\xff\xfe{"topic":"todo.a","sender":"s1","result":1}',
        b'\0\xfe{"topic":"todo.a","topic":"user.a","sender":"s1","result":1}',
        b'\0\xfe{"topic":"todo.*","sender":"s1","result":1}',
        b'\0\xfe{"topic":"nitro.dismissal","sender":"s1","result":{"user_id":"7","for_good":true}}',
        b'\0\xfe{"topic":"todo.a","sender":"s1","result":"\\ud800"}',
        b'\0\xfe{"topic":"todo.\xc3\xa9","sender":"s1","result":1}',
        b'\0\xfe{"topic":"todo.a","sender":"s1","result":' + b"9" * 4301 + b"}",
        b"\0\xfe" + b"[" * 5000,
        b"\1\xfe" + b" " * 20_000,
    ],
    "query": [
        b"\0todo.*\xfe",
        b"\0todo.*,user.7\xfetopic=todo.*&topic=user.7",
        b"\0todo.*@s1,user.*,!user.secret\xfetopic=user.*&envelope=1",
        b"\0ANY,!*.secret\xfetopic=ANY",
        b"\1todo.*\xfetopic=todo.*&envelope=1&probe=1",
        b"\0todo.*\xfetopic=todo.*&topic=*",
        b"\0a*\xfetopic=a&topic=a*&topic=a.%2A&topic=aa&topic=ab&topic=ac&topic=ad",
        b"\0*\xfetopic[]=a&topic=b",
        b"\0*\xfe%74opic=a%0d%0aSet-Cookie:%20x&topic=%00",
        b"\0*\xfetopic=&topic&=topic&&topic=a;topic=b+c",
        b"\0*\xfetopic=%C3%A9&topic=\xff&last_event_id=x",
        b"\0*\xfetopic=nitro.dismissal&topic=nitro*",
        b"\1*\xfetopic=a",
        b"\2\xfetopic=\xc3\xa9",
        b"\4*\xfetopic=a",
        b"\0!a.*\xfetopic=a.b",
        b"\0a.*,!a.*@s1\xfe",
        b"\0a.*,!a.*@s1\xfetopic=a.b",
        b"\0*.secret\xfetopic=todo.created",
        b"\0todo.*\xfetopic=tod*",
    ],
    "last_event_id": [
        b"\0",
        b"\0{epoch}-20\xfe",
        b"\x01{epoch}-9\xfe",
        b"\x02{epoch}-10\xfe",
        b"\x04{epoch}-24\xfe",
        b"\x05{epoch}-25\xfe",
        b"\x0a{epoch}-020\xfe",
        b"\x0f{epoch}-20\xfeenvelope=1",
        b"\0last_event_id={epoch}-20&envelope=1",
        b"\0last_event_id={epoch}-20&envelope=1&probe=1",
        b"\0last_event_id=%7Bepoch}-20",
        b"\0last%5Fevent_id={epoch}-20",
        b"\0last_event_id=&last_event_id={epoch}%2d20",
        b"\0last_event_id={epoch}-20&last_event_id={epoch}-21",
        b"\0lastEventId={epoch}-20&last_event_id={epoch}-12&Last-Event-ID=",
        b"\0last%2Devent%2Did=x&evs_last_event_id={epoch}-21",
        b"\0\xfelast_event_id={epoch}-20",
        b"\0\xfe{epoch}-20\xfelast_event_id=x",
        b"\0stop\xfe",
        b"\0last_event_id=stop",
        b"\x14",
        b"\x28",
        b"\0\xef\xbc\x91-1\xfe",
        b"\0none-0\xfe",
        b"\0{epoch}-99999999999999999999\xfe",
        b"\0{epoch}-20\0\r\nx\xfe",
    ],
    "broker": [
        _log(_opened() + _BEGIN + _taken(*[_NEXT] * 5) + _taken(*[_NEXT] * 70), _MESSAGE, _MARKED, b"nobody's"),
        _log(_opened() + _BEGIN + _taken(_HOLE) * 2 + _taken(_NEXT, _AGAIN, _BACK, _NEXT), _MESSAGE),
        _log(_opened() + _BEGIN + _taken(_NEXT, _HOLE), _MESSAGE),
        _log(_opened() + _BEGIN + _taken(_NEXT, _HOLE) * 2, b"nobody's"),
        _log(_opened() + _BEGIN + _taken(_HOLE) + _opened(epoch=1) + _taken(_HOLE) * 2, _MESSAGE),
        _log(_opened() + _taken(_NEXT) + _opened() + _taken(_NEXT, _NEXT) + _BEGIN, _MARKED),
        _log(_opened() + _taken(_NEXT) + _opened(epoch=1) + _taken(_NEXT, _NEXT) + _BEGIN, _MARKED),
        _log(_opened() + _BEGIN + _taken(*[_NEXT] * 7) * 3, _MARKED),
        _log(_opened() + _BEGIN + _taken(_NEXT) + _opened(oldest=1) + _taken(_NEXT), _MESSAGE),
        _log(_opened() + _BEGIN + _taken(_NEXT) + _opened(epoch=1, oldest=1, count=3) + _taken(_NEXT), _MESSAGE),
        *(_log(_opened(epoch=epoch) + _BEGIN, _MESSAGE) for epoch in range(5, 11)),
        *(_log(_opened(oldest=oldest) + _BEGIN, _MESSAGE) for oldest in range(7, 10)),
        b'\xfe[1,"a","' + b"s" * 4100 + b'",null]\n1',
        b'\xfe[1,"nitro.dismissal",null,null]\n{"user_id":"7","for_good":true}',
        b'\xfe[1,"nitro.x",null,null]\n1\xfe[true,"a",null,null]\n1\xfe[1.0,"a",null,null]\n1',
        b'\xfe[1,"a",null,null]\nNaN\xfe[1,"a",null,null]\n"\\ud800"\xfe[1,"a",null,null]\n',
        b'\xfe[1,"a",null,null]\n' + b"[" * 250 + b"]" * 250 + b"\xfe" + b"[" * 5000,
        b'\xfe[1,"a",{},[]]\n1\xfe[1,null,"a",1]\n1\xfe{"1":1}\n1\xfe\n\xfe\r\n1',
    ],
}

WORDS: dict[str, list[bytes]] = {
    "frame": [
        b"\xfe",
        b"one-7",
        b"\n\n",
        b"\r",
        b"data: ",
        b"event: ",
        b"id: ",
        b'"',
        _MARK,
        b'["a"]}',
        b"\xef\xbb\xbf",
    ],
    "topics": [b"\xfe", b"*", b".", b"ANY", b"nitro", b"nitro.", b"a*a"],
    "payload": [b'{"a":', b"[1]", b"NaN", b"Infinity", b"\\u0000"],
    "ticket": [b'[{"a.*":null},{},"7",null]', b"null", b'"a.*"', b".", b"_", b"-"],
    "publish": [b"\xfe", b'{"topic":"', b'todo.a"', b',"sender":"s1"', b',"result":', b'"s2"', b"}", b'"', b"\x18k"],
    "query": [
        b"\xfe",
        b"topic=",
        b"&topic=",
        b"topic[]=",
        b"envelope=1",
        b"last_event_id=",
        b"%2A",
        b"*",
        b"!",
        b"@s1",
        b"ANY",
    ],
    "last_event_id": [
        b"\xfe",
        b"{epoch}-",
        b"{epoch}-20",
        b"last_event_id=",
        b"lastEventId=",
        b"&",
        b"envelope=1",
        b"stop",
        b"%2D",
        b"%5F",
    ],
    "broker": [
        b"\xfe",
        b'[1,"a",null,null]\n',
        b'[1,"a","s","k","m","n",1.0]\n',
        b'[1,"nitro.dismissal",null,null]\n',
        b"{}",
        b"1",
    ],
}
"""For libFuzzer, which would find them by itself in an hour."""
