import json, urllib.request, urllib.error, time, pytest
@pytest.mark.timeout(400)
def test_try(gateway, engines):
    def post(body, path="/chat/completions"):
        r = urllib.request.Request(gateway.base_url+path, json.dumps(body).encode(), {"authorization": "Bearer "+gateway.api_key, "content-type":"application/json"})
        t=time.time()
        try: urllib.request.urlopen(r, timeout=15).read().decode(); return "ok"
        except urllib.error.HTTPError as e: return str(e.code)+e.read().decode()
        except OSError as e: return "599 %r after %.1f" % (e, time.time()-t)
    b={"model":"tiny","messages":[{"role":"user","content":"Say something."}],"max_tokens":4}
    f={"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}
    def u(*parts): return {"messages":[{"role":"user","content":list(parts)}]}
    cases = {
     "tool custom": {"tools":[{"type":"custom","custom":{"name":"x"}}]},
     "tool str": {"tools":["x"]}, "tool no fn":{"tools":[{"type":"function"}]}, "tool noname":{"tools":[{"type":"function","function":{}}]},
     "tool params bad":{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"nonsense"}}}],"tool_choice":"required"},
     "tool_choice bad":{"tools":[f],"tool_choice":"nope"}, "tool_choice obj":{"tools":[f],"tool_choice":{"type":"function","function":{"name":"zz"}}},
     "tool_choice int":{"tools":[f],"tool_choice":5},
     "tools+schema":{"tools":[f],"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}},
     "tools+grammar":{"tools":[f],"grammar":"root ::= \"a\""}, "grammar+schema":{"grammar":"root ::= \"a\"","json_schema":{"type":"object"}},
     "grammar int":{"grammar":5}, "json_schema str":{"json_schema":"x"}, "rf type":{"response_format":{"type":"zzz"}}, "rf schema str":{"response_format":{"type":"json_schema","json_schema":"x"}},
     "part type":u({"type":"zzz"}), "part text missing":u({"type":"text"}), "image":u({"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}),
     "image none":u({"type":"image_url"}), "audio":u({"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}), "file":u({"type":"file","file":{"file_data":"x"}}),
     "tool_calls str":{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":"x"}]},
     "tool_calls badargs":{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{not json"}}]},{"role":"tool","tool_call_id":"1","content":"x"}]},
     "tool_calls nofn":{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[{"id":"1","type":"function"}]}]},
     "assistant null":{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":None}]},
     "two assistants":{"messages":[{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}]},
     "ctk str":{"chat_template_kwargs":"x"}, "ctk val":{"chat_template_kwargs":{"enable_thinking":"maybe"}}, "reasoning_format":{"reasoning_format":"zz"},
     "stop int":{"stop":5}, "stop list int":{"stop":[5]}, "logit_bias bad":{"logit_bias":{"a":"b"}}, "seed str":{"seed":"x"}, "top_k str":{"top_k":"x"}, "n 9":{"n":9}, "logprobs str":{"logprobs":"x"}, "top_logprobs big":{"logprobs":True,"top_logprobs":100000}, "samplers int":{"samplers":5}, "lora":{"lora":[{"id":5,"scale":1}]}, "lora str":{"lora":"x"}, "dry":{"dry_sequence_breakers":[]}, "repeat_last_n":{"repeat_last_n":-50}, "grammar_lazy":{"grammar_lazy":True}, "grammar_triggers":{"grammar_triggers":"x"}, "parallel":{"parallel_tool_calls":"x"}, "add_gen":{"add_generation_prompt":"x"}, "chat_format":{"chat_format":9999}, "response_fields":{"response_fields":5},
    }
    def show(kind, name, out):
        if out!="ok": print("5xx" if out[0]=="5" else "   ", kind, name, out[:250] if out[0]=="5" else out[:110], flush=True)
        if out[0]=="5": time.sleep(2.1)
    for name, more in cases.items(): show("chat", name, post(b|more))
    for name, more in {"prompt obj":{"prompt":[{"x":1}]},"prompt neg":{"prompt":[-5]},"prompt big":{"prompt":[10**6]},"prompt empty":{"prompt":""},"prompt []":{"prompt":[]},"mix":{"prompt":["a",5]},"mm list":{"prompt":[{"prompt_string":"a","multimodal_data":["AAAA"]}]}, "logprobs":{"prompt":"a","logprobs":-1}, "nested":{"prompt":[[["a"]]]}, "null":{"prompt":[None]}}.items():
        show("cmpl", name, post({"model":"tiny","max_tokens":3}|more,"/completions"))
    for name, more in {"obj":{"input":[{"x":1}]},"neg":{"input":[-5]},"big":{"input":[10**6]},"null":{"input":[None]},"mix":{"input":["a",5]},"dims":{"input":"a","dimensions":"x"},"norm":{"input":"a","embd_normalize":"x"}}.items():
        show("emb", name, post({"model":"tiny"}|more,"/embeddings"))
    print("alive", post(b))
