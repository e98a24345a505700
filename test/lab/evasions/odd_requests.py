"""Requests that are written oddly: odd_requests.py ATTEMPT TAG. Only for a lab's namespace."""
import time

from client import answers, ask, connect, get, IPV4, missing, odd_header, PATH, run, TAG, TOKEN


def pipelined_behind_tokens():
    ask(get(f"/latest/meta-data/with-token", TOKEN) * 200 + get(), count=201)


def byte_by_byte():
    client = connect()
    for byte in get():
        client.send(bytes([byte]))
    ask(client=client)


def slow_head():
    head = get()
    ask(head[:9], head[9:40], head[40:-1], head[-1:], pause=0.7)


def silent_before_the_request():
    client = connect()
    time.sleep(4)
    ask(get(), client=client)


def space_before_colon():
    odd_header("X-aws-ec2-metadata-token : a")


def space_before_colon_missing():
    odd_header("X-aws-ec2-metadata-token : a", missing(PATH))


def tab_before_colon_missing():
    odd_header("X-aws-ec2-metadata-token\t: a", missing(PATH))


def folded_line():
    odd_header("X-Pad: a\r\n X-aws-ec2-metadata-token: a")


def folded_line_missing():
    odd_header("X-Pad: a\r\n X-aws-ec2-metadata-token: a", missing(PATH))


def folded_first_line_missing():
    ask(f"GET {missing(PATH)} HTTP/1.1\r\n X-aws-ec2-metadata-token: a\r\nHost: h\r\n\r\n".encode())


def bare_return_missing():
    odd_header("X-Pad: a\rX-aws-ec2-metadata-token: a", missing(PATH))


def bare_newlines():
    ask(get().replace(b"\r\n", b"\n"))


def nul_in_name_missing():
    odd_header("X-aws-ec2-metadata-token\0: a", missing(PATH))


def underscores_missing():
    odd_header("X_aws_ec2_metadata_token: a", missing(PATH))


def kelvin_sign_missing():
    odd_header("X-aws-ec2-metadata-to\u212aen: a", missing(PATH))


def no_colon_missing():
    odd_header("X-aws-ec2-metadata-token", missing(PATH))


def longer_name_missing():
    odd_header("X-aws-ec2-metadata-token-: a", missing(PATH))


def token_in_query():
    ask(get(PATH + "?X-aws-ec2-metadata-token=a"))


def token_in_body():
    ask(get(headers=f"Content-Length: {len(TOKEN)}\r\n") + TOKEN.encode())


def token_in_trailer():
    ask(get(PATH + "/ignores-bodies/", "Transfer-Encoding: chunked\r\n") + b"0\r\n" + TOKEN.encode() + b"\r\n")


def leading_blank_lines():
    ask(b"\r\n\r\n\r\n" + get())


def absolute_form():
    ask(get(f"http://{IPV4}{PATH}"))


def absolute_form_of_another_host():
    ask(get(f"http://elsewhere.example{PATH}"))


def http_0_9():
    ask(f"GET {PATH}\r\n\r\n".encode())


def http_1_0():
    ask(get(version="HTTP/1.0"))


def http_2_preface():
    ask(b"PRI * HTTP/2.0\r\n\r\n" + get(), count=2)


def http_2_preface_whole():
    ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + get(), count=2)


def connect_method():
    client = connect()
    client.sendall(f"CONNECT {IPV4}:80 HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    answers(client)
    ask(get(), client=client)


def upgrade_h2c():
    ask(get(headers="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"))


def expect_continue():
    ask(get(headers="Expect: 100-continue\r\n"))


def two_lengths():
    hidden = get()
    outer = get("/latest/meta-data/with-token", TOKEN + f"Content-Length: {len(hidden)}\r\nContent-Length: 0\r\n")
    ask(outer + hidden, count=2)


def two_lengths_missing():
    hidden = get(missing(PATH))
    outer = get("/latest/meta-data/with-token", TOKEN + f"Content-Length: {len(hidden)}\r\nContent-Length: 0\r\n")
    ask(outer + hidden, count=2)


def hidden_in_a_body():
    hidden = get()
    outer = get("/latest/meta-data/ignores-bodies/with-token", TOKEN + f"Content-Length: {len(hidden)}\r\n")
    ask(outer + hidden, count=2)


def hidden_in_a_body_missing():
    hidden = get(missing(PATH))
    outer = get("/latest/meta-data/ignores-bodies/with-token", TOKEN + f"Content-Length: {len(hidden)}\r\n")
    ask(outer + hidden, count=2)


def hidden_in_a_long_body():
    outer = get("/latest/meta-data/ignores-bodies/with-token", TOKEN + "Content-Length: 1000000000\r\n")
    client = connect()
    client.sendall(outer)
    answers(client)
    for _ in range(5):
        client.sendall(get())
        answers(client)
    client.close()


def hidden_in_chunks():
    hidden = b"\r\n\r\n" + get()
    outer = get("/latest/meta-data/ignores-bodies/with-token", TOKEN + "Transfer-Encoding: chunked\r\n")
    ask(outer + f"{len(hidden):x}\r\n".encode() + hidden + b"\r\n0\r\n\r\n", count=2)


def hidden_in_chunks_missing():
    hidden = b"\r\n\r\n" + get(missing(PATH))
    outer = get("/latest/meta-data/ignores-bodies/with-token", TOKEN + "Transfer-Encoding: chunked\r\n")
    ask(outer + f"{len(hidden):x}\r\n".encode() + hidden + b"\r\n0\r\n\r\n", count=2)


def behind_head():
    ask(get("/latest/meta-data/with-token", TOKEN, "HEAD") + get(), count=2)


def endless_head():
    ask(get(headers="X-Pad: " + "a" * 1_200_000 + "\r\n"))


def many_headers():
    ask(get(headers="".join(f"X-Pad-{n}: a\r\n" for n in range(5_000))))


def long_url():
    ask(get(PATH + "/" + "a" * 20_000))


def odd_method():
    for method in ("POST", "OPTIONS", "DELETE", "PATCH", "get", "PUT"):
        ask(get(method=method))


def head_method():
    ask(get(method="HEAD"))


def other_spellings():
    for path in (f"/2021-07-15/meta-data/{TAG}", f"//latest//meta-data//{TAG}", f"/latest/%6deta-data/{TAG}",
                 f"/latest/dynamic/../meta-data/./{TAG}", f"/1.0/meta-data/{TAG};a=b", f"/LATEST/meta-data/{TAG}"):
        ask(get(path))


def refused_by_status():
    for status in (401, 403, 404, 429, 500, 503):
        ask(get(f"/latest/meta-data/s{status}/{TAG}"))


def slow_answer():
    ask(get(f"/latest/meta-data/slow/{TAG}"))


run(globals())
