# The modules that programs import first, each used once.
import asyncio, json, os, re, sqlite3, subprocess, tempfile, threading

print(json.dumps({"b": [1, 2.5, None], "a": "ä"}, sort_keys=True))
print(re.sub(r"(\w+) (\w+)", r"\2 \1", "hello world"))
print(subprocess.run(["tr", "a-z", "A-Z"], input=b"piped", stdout=subprocess.PIPE, check=True).stdout)

results = []
lock = threading.Lock()


def work(number):
    with lock:
        results.append(number * number)


threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(results))

with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "test.db")
    database = sqlite3.connect(path)
    database.execute("create table t (k integer primary key, v text)")
    with database:
        database.executemany("insert into t (v) values (?)", [(f"row {n}",) for n in range(100)])
    database.close()
    database = sqlite3.connect(path)
    print(database.execute("select count(*), max(v) from t").fetchone())
    database.close()
    print(os.listdir(directory))


async def main():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    values = await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(5)))
    return output, values


print(asyncio.run(main()))
